"""How the Lambda function starts: what it costs, what it loads, and what a snapshot of it would share."""

from __future__ import annotations

import json

import pytest

from tests.processes import run_python
from tests.repository import BUNDLE
from tests.test_architecture import HEAVY

SETTINGS = {"API_KEY": "k-1", "MODEL_BUNDLE": str(BUNDLE), "LOG_LEVEL": "ERROR"}
MOST_OVER_IMPORTS = 1.5
ROUNDS = 9

IMPORTS = "import fastapi, mangum, numpy, onnxruntime"
INIT = "import handlers.api; handlers.api.handler"
TIMED = "import time; begun = time.process_time()\n{}\nprint(time.process_time() - begun)"
"""Of the processor: by the clock, whatever else this machine does would weigh more than what is compared."""


def seconds(statement: str) -> float:
    done = run_python("-c", TIMED.format(statement), **SETTINGS)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.timed
def test_init_takes_little_more_than_its_imports() -> None:
    """By turns, so that what else this machine does meets both alike; the first round warms the disk's cache."""
    rounds = [(seconds(IMPORTS), seconds(INIT)) for _ in range(ROUNDS + 1)][1:]
    imports, init = zip(*rounds, strict=True)

    # Of the minima: what else runs here can only add to a time.
    assert min(init) <= MOST_OVER_IMPORTS * min(imports)


LOADED = f"{INIT}; import json, sys; print(json.dumps(sorted(sys.modules)))"


def test_init_loads_nothing_heavier_than_it_needs() -> None:
    done = run_python("-c", LOADED, **SETTINGS)

    loaded = set(json.loads(done.stdout))
    assert loaded & (HEAVY | {"uvicorn", "uvloop", "email.mime.text"}) == set()
    assert {"mangum", "onnxruntime"} <= loaded


RESUMED = """
import json, os, random, sys
made = []
sys.addaudithook(lambda event, arguments: made.append(event) if event in ("socket.__new__", "socket.connect") else None)
seeded = random.getstate()
import handlers.api
handler = handlers.api.handler
assert made == [], made
assert random.getstate() == seeded
assert "boto3" not in sys.modules and "botocore.credentials" not in sys.modules

event = {
    "requestContext": {"elb": {}}, "httpMethod": "GET", "path": "/health", "headers": {}, "body": "",
    "isBase64Encoded": False,
}
children, requests = int(sys.argv[1]), int(sys.argv[2])
readers = []
for _ in range(children):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        ids = [handler(event)["headers"]["x-request-id"] for _ in range(requests)]
        with os.fdopen(writer, "w") as out:
            json.dump(ids, out)
        os._exit(0)
    os.close(writer)
    readers.append(reader)
for reader in readers:
    with os.fdopen(reader) as answers:
        sys.stdout.write(answers.read() + "\\n")
assert {os.wait()[1] for _ in range(children)} == {0}
"""


def test_environments_resumed_from_one_snapshot_share_no_id() -> None:
    """SnapStart resumes many environments from one started process; a fork shares as much with its siblings."""
    children, requests = 20, 1000

    done = run_python("-W", "ignore::DeprecationWarning", "-c", RESUMED, str(children), str(requests), **SETTINGS)

    assert done.returncode == 0, done.stderr
    ids = [request_id for line in done.stdout.splitlines() for request_id in json.loads(line)]
    assert len(set(ids)) == len(ids) == children * requests
