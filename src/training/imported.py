"""A booster that SageMaker's built-in algorithm grew, in place of one grown here."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable

import xgboost as xgb

from core.bundle import BOOSTER
from core.preprocessing import Preprocessor
from training.errors import TrainingError
from training.model import FittedModel, model_around
from training.pipeline import FitModel
from training.schema import TableSchema
from training.split import Split
from training.train import EvaluationRows, Parameters, booster_bytes, cut_to_best

MAX_MODEL_BYTES = 256 << 20
_JSON_OR_UBJSON = b"{"
"""Both formats of XGBoost begin with this byte, and a pickle, which would run code, never does."""


class ArtefactError(TrainingError):
    """What the job left behind is not a model that can be served."""


def read_artefact(archive: bytes) -> bytes:
    """Return the booster of a job's model.tar.gz, as the job wrote it.

    Raises
    ------
    ArtefactError
        The archive is not one, or holds no booster in a format that runs no code.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
            members = [member for member in files.getmembers() if member.isfile()]
            names = [member.name.removeprefix("./") for member in members]
            if names != [BOOSTER]:
                raise ArtefactError(f"model.tar.gz should hold one file, {BOOSTER}, not {', '.join(names) or 'none'}")
            if members[0].size > MAX_MODEL_BYTES:
                raise ArtefactError(f"the booster has over {MAX_MODEL_BYTES >> 20} MiB")
            stream = files.extractfile(members[0])
            content = b"" if stream is None else stream.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ArtefactError(f"model.tar.gz cannot be unpacked: {error}") from error
    if not content.startswith(_JSON_OR_UBJSON):
        raise ArtefactError(f"{BOOSTER} is neither JSON nor UBJSON: train with the image 3.0-5")
    return content


def load_booster(content: bytes, n_features: int) -> xgb.Booster:
    """Return the booster, if it can be served by every supported container.

    Raises
    ------
    ArtefactError
        XGBoost cannot read it, or it takes other features, or its base score is not the one that all versions read.
    """
    booster = xgb.Booster()
    try:
        booster.load_model(bytearray(content))
    except xgb.core.XGBoostError as error:
        raise ArtefactError(f"XGBoost {xgb.__version__} cannot read the booster") from error
    if booster.num_features() != n_features:
        raise ArtefactError(f"the booster takes {booster.num_features()} features, the data have {n_features}")
    learner = json.loads(booster_bytes(booster))["learner"]
    base_score, objective = learner["learner_model_param"]["base_score"], learner["objective"]["name"]
    if objective != "binary:logistic" or base_score not in ("5E-1", "0.5"):
        raise ArtefactError(f"the booster was grown for {objective} from {base_score}: use the image 3.0-5")
    return booster


def fit_imported(content: bytes) -> FitModel:
    """Return what stands for `fit_model` when the booster is there already."""

    def fit(
        split: Split,
        schema: TableSchema,
        parameters: Parameters,
        prevalence: float,
        seed: int,
        on_progress: Callable[[float], None],
    ) -> FittedModel:
        def cut(preprocessor: Preprocessor, stopping: EvaluationRows) -> xgb.Booster:
            return cut_to_best(load_booster(content, preprocessor.n_features), stopping, parameters)

        model = model_around(cut, split, schema, prevalence, seed)
        on_progress(1.0)
        return model

    return fit
