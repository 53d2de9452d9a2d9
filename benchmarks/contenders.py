"""Who is measured: this service, the yardstick, and the peers, each with the same model and the same rows.

Each is started on one core and must answer the golden rows with the scores of the model before it is measured.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.bundle import BOOSTER, Bundle
from tests.processes import environment_of
from tests.repository import BUNDLE, ROOT

ECHO, OURS = "bare ASGI echo", "this service"
KEY = "benchmark-key-of-nobody"
SERVER = ROOT / "ecs" / "server.py"
PEERS = ROOT / "benchmarks" / "peers"
TOOLS = ROOT / ".tools"
JSON = {"content-type": "application/json"}

Row = Mapping[str, float]


@dataclass(frozen=True)
class Form:
    """One way to post rows: how the body is written, and how scores are read from the reply (None: they are not)."""

    name: str
    path: str
    headers: Mapping[str, str]
    write: Callable[[Sequence[Row]], bytes]
    read: Callable[[bytes], list[float]] | None


@dataclass(frozen=True)
class Contender:
    """A server that can be started."""

    name: str
    start: Callable[[int], tuple[list[str], dict[str, str]]]
    """The command and the environment for a port; the two ports after it are free as well."""
    folder: Path
    single: Form
    about: str
    batches: Sequence[Form] = ()
    is_whole: bool = False
    """Takes posted fields and answers with the calibrated probability. The others are given the features as the model
    sees them, and answer with its raw score: that work is spared them."""


def contenders(bundle: Bundle, folder: Path) -> tuple[list[Contender], list[str]]:
    """Return who can be measured, and a line for each peer that cannot; files they need are written into `folder`."""
    model = folder / "model.json"
    model.write_bytes(bundle.files[BOOSTER])
    found, missing = [_echo(folder), ours(folder)], []
    peers = (("tutorial", "uvicorn", _tutorial), ("bentoml", "bentoml", _bentoml), ("mlserver", "mlserver", _mlserver))
    for name, command, make in peers:
        if (TOOLS / name / "bin" / command).exists():
            found.append(make(bundle, model, folder))
        else:
            missing.append(f"{name} is not installed: sh scripts/tool.sh {name}")
    return found, missing


def _echo(folder: Path) -> Contender:
    del folder
    return Contender(
        name=ECHO,
        start=lambda port: (_uvicorn(sys.executable, port, "echo:app"), environment_of({})),
        folder=PEERS,
        single=Form("object", "/predict", JSON, _object, None),
        batches=(Form("JSON objects", "/predict/batch", JSON, _transactions, None),),
        about="uvicorn with httptools and uvloop; sends the body back",
    )


def ours(folder: Path, more: Mapping[str, str] | None = None) -> Contender:
    """Return this service, with more settings if there are any."""
    headers, csv_headers = {**JSON, "x-api-key": KEY}, {"content-type": "text/csv", "x-api-key": KEY}
    settings = {"API_KEY": KEY, "MODEL_BUNDLE": str(BUNDLE), **(more or {})}
    return Contender(
        name=OURS,
        start=lambda port: ([sys.executable, str(SERVER)], environment_of({**settings, "PORT": str(port)})),
        folder=folder,
        single=Form("object", "/predict", headers, _object, lambda body: [json.loads(body)["fraud_score"]]),
        batches=(
            Form("JSON objects", "/predict/batch", headers, _transactions, _fraud_scores),
            Form("JSON vectors", "/predict/batch", headers, _vectors, _fraud_scores),
            Form("CSV", "/predict/batch", csv_headers, _csv, _fraud_scores),
        ),
        is_whole=True,
        about="ecs/server.py as in the container: key checked, body validated, one log line a request, metrics",
    )


def _tutorial(bundle: Bundle, model: Path, folder: Path) -> Contender:
    del folder
    names = [feature.name for feature in bundle.manifest.features]
    environment = {**environment_of({}), "MODEL_FILE": str(model), "FEATURES": ",".join(names)}
    return Contender(
        name="FastAPI tutorial",
        start=lambda port: (_uvicorn(str(TOOLS / "tutorial/bin/python"), port, "tutorial_app:app"), environment),
        folder=PEERS,
        single=Form("object", "/predict", JSON, _object, lambda body: [json.loads(body)["score"]]),
        batches=(Form("JSON objects", "/predict/batch", JSON, _list, lambda body: json.loads(body)["scores"]),),
        about="FastAPI, Pydantic, `Booster.inplace_predict`; no key, no limits, no log; pandas not installed",
    )


def _bentoml(bundle: Bundle, model: Path, folder: Path) -> Contender:
    del bundle, folder
    command = [str(TOOLS / "bentoml/bin/bentoml"), "serve", "bentoml_service:FraudModel", "--port"]
    environment = {**environment_of({}), "MODEL_FILE": str(model), "BENTOML_DO_NOT_TRACK": "True"}
    form = Form("JSON array", "/predict", JSON, _rows, json.loads)
    return Contender(
        name="BentoML",
        start=lambda port: ([*command, str(port)], environment),
        folder=PEERS,
        single=form,
        batches=(form,),
        about="one worker, metrics and access log off, no adaptive batching: its faster setting here",
    )


def _mlserver(bundle: Bundle, model: Path, folder: Path) -> Contender:
    del bundle
    served = folder / "mlserver"
    served.mkdir()
    shutil.copy(model, served / "model.json")
    implementation = {"name": "fraud", "implementation": "mlserver_xgboost.XGBoostModel"}
    (served / "model-settings.json").write_text(json.dumps({**implementation, "parameters": {"uri": "./model.json"}}))

    def start(port: int) -> tuple[list[str], dict[str, str]]:
        ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
        (served / "settings.json").write_text(json.dumps({"parallel_workers": 0, "debug": False, **ports}))
        return [str(TOOLS / "mlserver/bin/mlserver"), "start", "."], environment_of({"OMP_NUM_THREADS": "1"})

    form = Form("JSON tensor", "/v2/models/fraud/infer", JSON, _tensor, lambda b: json.loads(b)["outputs"][0]["data"])
    return Contender(
        name="MLServer",
        start=start,
        folder=served,
        single=form,
        batches=(form,),
        about="no parallel workers: its faster setting on one core; pandas installed, since MLServer requires it",
    )


def _uvicorn(python: str, port: int, app: str) -> list[str]:
    quiet = ["--no-access-log", "--log-level", "warning"]
    return [python, "-m", "uvicorn", *quiet, "--loop", "uvloop", "--http", "httptools", "--port", str(port), app]


def _object(rows: Sequence[Row]) -> bytes:
    return json.dumps(rows[0]).encode()


def _list(rows: Sequence[Row]) -> bytes:
    return json.dumps(rows).encode()


def _transactions(rows: Sequence[Row]) -> bytes:
    return json.dumps({"transactions": rows}).encode()


def _vectors(rows: Sequence[Row]) -> bytes:
    return json.dumps({"transactions": [{"features": list(row.values())} for row in rows]}).encode()


def _csv(rows: Sequence[Row]) -> bytes:
    return "\n".join([",".join(rows[0]), *(",".join(map(repr, row.values())) for row in rows), ""]).encode()


def _rows(rows: Sequence[Row]) -> bytes:
    return json.dumps({"rows": [list(row.values()) for row in rows]}).encode()


def _tensor(rows: Sequence[Row]) -> bytes:
    values = [value for row in rows for value in row.values()]
    tensor = {"name": "rows", "shape": [len(rows), len(rows[0])], "datatype": "FP32", "data": values}
    return json.dumps({"inputs": [tensor]}).encode()


def _fraud_scores(body: bytes) -> list[float]:
    return [each["fraud_score"] for each in json.loads(body)["predictions"]]
