"""What can go wrong offline; the command line turns each into one message and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class TrainingError(Exception):
    """Base of every error the training tools raise on purpose; its text is for the person at the keyboard."""


class DataError(TrainingError):
    """A data file cannot be trained on."""

    def __init__(self, path: Path | str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            super().__init__(f"{path}: {self.problems[0]}")
        else:
            super().__init__("\n  - ".join([f"{path}: {len(self.problems)} problems", *self.problems]))


class OptionError(TrainingError):
    """An option has a value that cannot be used."""


class SplitError(TrainingError):
    """A table cannot be divided as asked."""


class ImportedModelError(TrainingError):
    """An older project's model cannot be made into a bundle."""


class OutputError(TrainingError):
    """A result cannot be written where it was asked for."""


class ExportError(TrainingError):
    """The exported model is not the model that was trained."""
