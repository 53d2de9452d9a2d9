"""README.md says what is true: its tables against the classes, its files and targets against the tree."""

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from core.api.errors import INTERNAL, JOB_PROBLEMS, PROBLEMS, ROUTING
from core.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CELL = re.compile(r"(?<!\\)\|")


def table_after(heading: str) -> list[list[str]]:
    """Return the cells of the first table below the heading, without its head."""
    section = README.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in CELL.split(row)[1:-1]] for row in rows[2:]]


def documented_default(value: object) -> str:
    if value in (None, PydanticUndefined):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_settings_table_and_class_agree_both_ways() -> None:
    documented = {name: (default, meaning) for name, default, meaning in table_after("## Settings")}
    expected = {
        f"`{name.upper()}`": (documented_default(field.default), field.description)
        for name, field in Settings.model_fields.items()
    }
    assert documented == expected


def test_error_table_and_code_agree_both_ways() -> None:
    problems = [*PROBLEMS.values(), *JOB_PROBLEMS.values(), INTERNAL, *ROUTING.values()]
    rows = table_after("### Errors")
    documented = {
        (status, code)
        for statuses, codes, _ in rows
        for status in map(int, statuses.split(","))
        for code in re.findall(r"`([a-z]+_?[a-z_]*)`", codes)
        if code not in {"errors", "request_id", "x-api-key"}
    }
    assert {(problem.status, problem.code) for problem in problems} <= documented
    assert {code for _, code in documented} == {problem.code for problem in problems}


NAMED_FILES = sorted(
    set(re.findall(r"(?:events|models|ecs|src|tests|docs|benchmarks)/[\w./-]+\w(?![\w*]|_\*)", README))
)


@pytest.mark.parametrize("name", NAMED_FILES)
def test_named_file_exists(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z][a-z0-9-]*)", README))))
def test_named_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
