"""What the design forbids: imports that point upwards, effects at import, heavy or unsafe modules, hidden failures."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import Settings
from tests.contract.rows import shipped_rows
from tests.processes import run_python
from tests.repository import BUNDLE, CORE, ROOT, SOURCES

LAYERS = (
    ("core.errors", "core.keys"),
    (
        "core.settings",
        "core.keys_file",
        "core.observability",
        "core.json_document",
        "core.number_text",
        "core.readiness",
        "core.gathering",
    ),
    (
        "core.calibration",
        "core.decision",
        "core.preprocessing",
        "core.metrics",
        "core.secrets_manager",
    ),
    ("core.transactions", "core.manifest", "core.explanation"),
    ("core.csv_table", "core.json_table", "core.json_transaction"),
    ("core.bundle", "core.csv_document"),
    ("core.scoring", "core.bundle_location"),
    ("core.service",),
    ("core.jobs",),
    ("core.api",),
    ("core.bootstrap", "core.doctor"),
    ("core.job_steps",),
    ("handlers", "ecs", "core.jobs.__main__"),
)
"""From the bottom up: a module imports from its own package and from lower layers only."""

ONLY_IN = {
    "fastapi": ("core.api", "core.bootstrap", "handlers", "ecs"),
    "starlette": ("core.api", "handlers"),
    "uvicorn": ("ecs",),
    "mangum": ("handlers",),
    "simdjson": ("core.number_text",),
    "onnxruntime": ("core.scoring.onnx_session",),
    "boto3": ("core.scoring", "core.secrets_manager", "core.bundle_location", "core.jobs.aws.clients"),
    "botocore": (
        "core.scoring",
        "core.secrets_manager",
        "core.bundle_location",
        "core.jobs.aws.clients",
        "core.jobs.aws.objects",
    ),
    "pydantic_settings": ("core.settings",),
    "sqlite3": ("core.jobs.local",),
    "multiprocessing": ("core.jobs.local",),
    "pyarrow": ("core.jobs.formats.parquet",),
}
"""Who may import what: a library has one border."""

FORBIDDEN = {"pickle", "cPickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}
MAY_UNPICKLE = {"training.legacy"}
"""Reads the scaler of an older project, offline and only when told to."""
TRAINING_ONLY = {
    "jinja2",
    "xgboost",
    "sklearn",
    "scipy",
    "pandas",
    "matplotlib",
    "onnx",
    "onnxmltools",
    "optuna",
    "skl2onnx",
    "typer",
    "rich",
}
HEAVY = {"xgboost", "sklearn", "scipy", "pandas", "matplotlib", "joblib", "onnx", "boto3", "botocore.client", "moto"}
"""What scoring inside the process must not load, since a cold start would pay for it."""
LAST_RESORTS = {("core.api.middleware", "__call__"), ("core.jobs.local.engine", "_run")}
"""The handlers that may end an unknown error: it becomes a 500, or the error of one job, and a log line."""

MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 50


def sources(*folders: Path) -> dict[str, ast.Module]:
    """Return module name -> syntax tree."""
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            base = SOURCES if path.is_relative_to(SOURCES) else ROOT
            name = ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


CORE_MODULES = sources(CORE)
SHIPPED = sources(CORE, SOURCES / "handlers", ROOT / "ecs")
ALL = sources(SOURCES, ROOT / "ecs")


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer_of(module: str) -> tuple[int, str] | None:
    """Return the rank and the name of the narrowest package of `LAYERS` that the module is in."""
    found = [(rank, package) for rank, layer in enumerate(LAYERS) for package in layer if is_in(module, package)]
    return max(found, key=lambda each: len(each[1]), default=None)


@pytest.mark.parametrize("module", [name for name in SHIPPED if name not in ("core", "handlers")])
def test_module_imports_from_lower_layers_only(module: str) -> None:
    own = layer_of(module)
    assert own is not None, f"{module} has no layer: say in LAYERS where it belongs"
    for name in imported(SHIPPED[module]):
        layer = layer_of(name)
        if layer is not None and layer[1] != own[1]:
            assert layer[0] < own[0], f"{module} imports {name}"
        assert not is_in(name, "training"), f"{module} imports {name}"
        assert not is_in(name, "tests"), f"{module} imports {name}"


def test_layers_name_only_what_is_there() -> None:
    for layer in LAYERS:
        for package in layer:
            assert any(is_in(module, package) for module in SHIPPED), package


def test_training_knows_nothing_of_the_ways_to_serve() -> None:
    for module, tree in sources(SOURCES / "training").items():
        for name in imported(tree):
            assert not any(is_in(name, each) for each in ("core.api", "core.bootstrap", "handlers", "ecs")), module


@pytest.mark.parametrize("library", ONLY_IN)
def test_library_is_imported_at_its_border_only(library: str) -> None:
    importers = {module for module, tree in SHIPPED.items() if any(is_in(name, library) for name in imported(tree))}

    assert [m for m in importers if not any(is_in(m, allowed) for allowed in ONLY_IN[library])] == []


@pytest.mark.parametrize("module", [name for name in ALL if name not in MAY_UNPICKLE])
def test_nothing_unpickles(module: str) -> None:
    assert not {name.split(".")[0] for name in imported(ALL[module])} & FORBIDDEN


@pytest.mark.parametrize("module", SHIPPED)
def test_what_is_shipped_imports_nothing_of_training(module: str) -> None:
    assert not {name.split(".")[0] for name in imported(SHIPPED[module])} & TRAINING_ONLY


@pytest.mark.parametrize("module", [name for name in CORE_MODULES if name != "core.settings"])
def test_environment_is_read_by_the_settings_alone(module: str) -> None:
    names = {node.attr for node in ast.walk(CORE_MODULES[module]) if isinstance(node, ast.Attribute)}
    names |= {name.split(".")[-1] for name in imported(CORE_MODULES[module])}

    assert not names & {"environ", "environb", "getenv", "getenvb", "putenv"}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or getattr(kind, "id", "") in ("Exception", "BaseException") for kind in kinds)


def swallowed(module: str) -> set[tuple[str, str]]:
    """Return where a broad `except` of the module does not end in `raise`."""
    found = set()
    for function in functions(SHIPPED[module]):
        for handler in (node for node in ast.walk(function) if isinstance(node, ast.ExceptHandler)):
            if is_broad(handler) and not isinstance(handler.body[-1], ast.Raise):
                found.add((module, function.name))
    return found


def test_no_broad_except_swallows_but_the_last_resort() -> None:
    found = set().union(*(swallowed(module) for module in CORE_MODULES))

    assert found == LAST_RESORTS


@pytest.mark.parametrize("module", CORE_MODULES)
def test_no_failure_is_suppressed_or_passed_over(module: str) -> None:
    tree = CORE_MODULES[module]
    handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    assert not [handler for handler in handlers if all(isinstance(node, ast.Pass) for node in handler.body)]
    calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [call for call in calls if call.startswith(("suppress(Exception", "contextlib.suppress(Exception"))]


@pytest.mark.parametrize("path", sorted([*SOURCES.rglob("*.py"), *(ROOT / "ecs").glob("*.py")]), ids=lambda p: p.name)
def test_file_and_functions_are_of_readable_length(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lengths = {f.name: (f.end_lineno or 0) - f.lineno + 1 for f in functions(ast.parse(text))}

    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


IMPORT_EVERYTHING = """
import importlib, json, logging, os, sys, threading
seen = {"environment": set(), "connections": [], "written": [], "read": []}
get = type(os.environ).__getitem__
type(os.environ).__getitem__ = lambda self, key: (seen["environment"].add(key), get(self, key))[1]
root = sys.argv[1]
def watch(event, arguments):
    if event == "open":
        path, mode = str(arguments[0]), str(arguments[1] or "r")
        if set(mode) & set("wax+"):
            seen["written"].append(path)
        elif path.startswith(root) and not path.startswith(sys.prefix) and not path.endswith((".py", ".pyc")):
            seen["read"].append(path)
    elif event in ("socket.connect", "socket.listen", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
        seen["connections"].append(event)
sys.addaudithook(watch)
for name in sys.argv[2:]:
    importlib.import_module(name)
print(json.dumps({
    **seen,
    "environment": sorted(seen["environment"]),
    "threads": [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()],
    "handlers": [repr(each) for each in (*logging.root.handlers, *logging.getLogger("fraud-scoring").handlers)],
}))
"""


def test_importing_every_module_of_core_has_no_effect(tmp_path: Path) -> None:
    """Not even with settings that could not be read, and a file of them that is no text."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe nonsense")
    nonsense = {name.upper(): "\x01nonsense" for name in Settings.model_fields}

    done = run_python(
        "-B", "-c", IMPORT_EVERYTHING, str(ROOT), *CORE_MODULES, cwd=tmp_path, **nonsense
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    seen = json.loads(done.stdout)
    assert set(seen.pop("environment")) & set(nonsense) == set()
    assert seen == {"connections": [], "written": [], "read": [], "threads": [], "handlers": []}


SCORE_ONE = """
import asyncio, json, sys
from core.bootstrap import build_app
from core.settings import load_settings
app = build_app(load_settings(None))
sent = []
async def receive():
    return {"type": "http.request", "body": sys.argv[1].encode()}
async def send(message):
    sent.append(message)
headers = [(b"content-type", b"application/json")]
scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers, "query_string": b""}
asyncio.run(app(scope, receive, send))
print(json.dumps({"status": sent[0]["status"], "modules": sorted(sys.modules)}))
"""


def test_serving_loads_nothing_heavier_than_it_needs() -> None:
    body = json.dumps(shipped_rows().fraud)

    done = run_python(
        "-c", SCORE_ONE, body, AUTH_DISABLED="true", MODEL_BUNDLE=str(BUNDLE), LOG_LEVEL="ERROR"
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    served = json.loads(done.stdout)
    assert served["status"] == 200
    assert HEAVY & set(served["modules"]) == set()
    assert "onnxruntime" in served["modules"]


def test_serving_writes_nothing_below_the_home_directory(tmp_path: Path) -> None:
    body = json.dumps(shipped_rows().fraud)

    done = run_python("-c", SCORE_ONE, body, AUTH_DISABLED="true", MODEL_BUNDLE=str(BUNDLE), HOME=str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []
