"""The image: what is in it, how it serves, and how it stops."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path

import pytest

from tests.app_under_test import ADMIN_KEY, KEY
from tests.contract.case import CSV_TYPE, JSON_TYPE, KEY_HEADER
from tests.contract.exchange import Request
from tests.contract.rows import shipped_rows
from tests.contract.transports import Socket
from tests.e2e.aws import REGION, simulated_aws
from tests.e2e.containers import BASE, HARDENED, Container, docker, run_in, serving, started
from tests.e2e.load import Load
from tests.processes import free_port
from tests.repository import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("image")]

EVENTS = ROOT / "events"
MOST_ADDED_BYTES = 230_000_000
READY = Request("GET", "/health/ready")
RELOAD = Request("POST", "/model/reload", ((b"x-api-key", ADMIN_KEY.encode()),))

# Runs in the container, which has no network but its own.
PREDICT_INSIDE = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=10)
headers = {"x-api-key": sys.argv[1], "content-type": "application/json"}
connection.request("POST", "/predict", sys.argv[2].encode(), headers)
print(connection.getresponse().read().decode())
"""
NOT_COMPILED = """
import importlib.util, pathlib, sysconfig
folders = [pathlib.Path("/app"), pathlib.Path(sysconfig.get_path("purelib"))]
files = [file for folder in folders for file in folder.rglob("*.py")]
print(len(files), [str(file) for file in files if not pathlib.Path(importlib.util.cache_from_source(file)).exists()])
"""


def post(path: str, event: str, media_type: tuple[bytes, bytes] = JSON_TYPE) -> Request:
    return Request("POST", path, (KEY_HEADER, media_type), (EVENTS / event).read_bytes())


def request_log(container: Container) -> list[dict[str, object]]:
    """Return the log lines of requests that were answered."""
    out, _ = container.output()
    lines = [json.loads(line) for line in out.splitlines()]
    return [line for line in lines if line.get("message") == "request"]


class TestContents:
    def test_adds_at_most_230_mb_to_the_base(self, image: str) -> None:
        size, base = (int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (image, BASE))
        assert size - base <= MOST_ADDED_BYTES

    def test_has_no_installer_and_no_compiler(self, image: str) -> None:
        tools = "pip pip3 easy_install gcc cc g++ c++ clang make ld curl wget"
        assert run_in(image, "sh", "-c", f"for t in {tools}; do command -v $t; done; true") == ""
        modules = ("pip", "setuptools", "wheel", "ensurepip", "distutils", "training")
        code = f"import importlib.util as u; print([m for m in {modules} if u.find_spec(m)])"
        assert run_in(image, "python", "-c", code) == "[]"

    def test_is_compiled_since_nothing_can_be_written_later(self, image: str) -> None:
        n_files, missing = run_in(image, "python", "-c", NOT_COMPILED).split(" ", 1)
        assert int(n_files) > 1000
        assert missing == "[]"

    def test_runs_as_a_user_who_owns_nothing_in_it(self, image: str) -> None:
        assert run_in(image, "id", "-u") == "10001"
        owned = (
            "find / -xdev -user 10001 -not -path '/proc/*' -print 2>/dev/null; find /app /usr -writable -not -type l"
        )
        assert run_in(image, "sh", "-c", owned) == ""

    def test_has_no_secret_and_nothing_local(self, image: str) -> None:
        inside = run_in(image, "find", "/app", "-type", "f", "-not", "-name", "*.pyc").splitlines()
        tops = {"/".join(Path(file).parts[2:4]) for file in inside}
        served = {f"ecs/{name}.py" for name in ("server", "heap", "http_protocol", "loop_turn", "healthcheck")}
        assert tops == {"src/core", "src/handlers", *served, "models/creditcard"}
        variables = json.loads(docker("image", "inspect", "--format", "{{json .Config.Env}}", image))
        assert not [text for text in variables if text.startswith(("API_KEY", "AWS_ACCESS", "AWS_SECRET"))]

    def test_onnx_runtime_sends_no_telemetry(self, image: str) -> None:
        # It would write a device id below the home folder, or say that it cannot.
        done = docker("run", "--rm", "--read-only", "--tmpfs", "/home/app:mode=777", "--env", "HOME=/home/app",
                      "--entrypoint", "sh", image, "-c",
                      "python -c 'import onnxruntime' 2>&1; find /home/app -type f")  # fmt: skip
        assert done == ""

    def test_clients_of_the_aws_services_can_be_made(self, image: str) -> None:
        code = (
            "import boto3\n"
            "for name in ('secretsmanager', 'sagemaker-runtime', 'sts', 's3'):\n"
            "    boto3.client(name, region_name='eu-west-1')\n"
            "print('made')"
        )
        assert run_in(image, "python", "-c", code) == "made"


class TestServing:
    def test_scores_the_events_and_logs_json_only(self) -> None:
        with serving(*HARDENED, API_KEY=KEY) as container:
            ask = Socket(container.port).send
            fraud = ask(post("/predict", "predict_fraud.json"))
            legitimate = ask(post("/predict", "predict_legitimate.json"))
            vector = ask(post("/predict", "predict_vector.json"))
            as_json = ask(post("/predict/batch", "batch.json"))
            as_csv = ask(post("/predict/batch", "batch.csv", CSV_TYPE))
            logged = request_log(container)
            _, errors = container.output()

        assert [reply.status for reply in (fraud, legitimate, vector, as_json, as_csv)] == [200] * 5
        assert [reply.json()["decision"] for reply in (fraud, legitimate)] == ["decline", "approve"]
        assert [line["route"] for line in logged] == ["/predict"] * 3 + ["/predict/batch"] * 2
        assert errors == ""

    def test_scores_without_any_network(self) -> None:
        environment = ("--env", f"API_KEY={KEY}", "--network", "none", "--health-interval", "1s")
        with started(*HARDENED, *environment) as container:
            wait_until_healthy(container)
            event = (EVENTS / "predict_fraud.json").read_text()
            reply = container.execute("python", "-c", PREDICT_INSIDE, KEY, event)
        assert json.loads(reply.stdout)["decision"] == "decline"

    def test_serves_on_its_own_address_whatever_the_env_file_says(self, tmp_path: Path) -> None:
        env_file = tmp_path / "env"
        env_file.write_text(f"API_KEY={KEY}\nHOST=127.0.0.1\nPORT=9\nAWS_PROFILE=nobody\nDOCS=public\n")
        with serving("--env-file", str(env_file), "--health-interval", "1s") as container:
            assert Socket(container.port).send(Request("GET", "/openapi.json")).status == 200
            wait_until_healthy(container)

    def test_starts_with_the_settings_of_the_task_definition(self) -> None:
        text = (ROOT / "ecs" / "task-def.json").read_text()
        task = json.loads(text.replace("<REGION>", "eu-west-1").replace("<VPC_CIDR>", "10.0.0.0/16"))
        settings = {each["name"]: each["value"] for each in task["containerDefinitions"][0]["environment"]}
        with serving(*HARDENED, API_KEY=KEY, **settings) as container:
            assert Socket(container.port).send(post("/predict", "predict_fraud.json")).status == 200

    def test_without_a_key_refuses_in_one_line(self) -> None:
        with started() as container:
            assert container.wait() == 2
            out, error = container.output()
        assert out == ""
        assert error.startswith("fraud-scoring: API_KEY is not set")
        assert error.count("\n") == 1

    def test_server_that_does_not_answer_is_unhealthy(self) -> None:
        with started("--entrypoint", "sleep", command=("60",)) as container:
            done = container.execute("python", "-IS", "/app/ecs/healthcheck.py")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("no answer from /health: ")


def test_bundle_from_s3_needs_no_disk(tmp_path: Path) -> None:
    """Hardened as the task definitions are, and on the network of this machine, where S3 is stood in for."""
    port = free_port()
    with simulated_aws(tmp_path) as aws:
        s3 = aws.client("s3")
        s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": REGION})
        for path in (ROOT / "models" / "creditcard").iterdir():
            s3.upload_file(str(path), "models", f"creditcard/{path.name}")
        settings = {
            **{"API_KEY": f"{KEY},{ADMIN_KEY}:admin", "MODEL_BUNDLE": "s3://models/creditcard"},
            **{"AWS_ENDPOINT_URL": aws.endpoint, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION},
            **{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"},
        }
        environment = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
        command = ("env", "HOST=127.0.0.1", f"PORT={port}", "python", "ecs/server.py")
        with started(*HARDENED, *environment, "--network", "host", command=command) as container:
            container.wait_until_ready(port)
            ask = Socket(port).send
            written = container.execute("sh", "-c", "touch /tmp/x /dev/shm/x /app/x").stderr.count("Read-only")
            scored = ask(post("/predict", "predict_fraud.json"))
            again = ask(RELOAD)
            s3.put_object(Bucket="models", Key="creditcard/golden.json", Body=b"{}")
            refused = ask(RELOAD)
            still = ask(post("/predict", "predict_fraud.json"))
            _, errors = container.output()

    assert written >= 2
    assert (scored.status, scored.json()["decision"]) == (200, "decline")
    assert (again.status, again.json()["changed"]) == (200, False)
    assert (refused.status, refused.json()["code"]) == (409, "model_refused")
    assert "s3://models/creditcard: golden.json" in refused.json()["detail"]
    assert still.status == 200
    assert errors == ""


def wait_until_healthy(container: Container) -> None:
    deadline = time.monotonic() + 30
    while (health := container.inspect()["State"]["Health"])["Status"] != "healthy":
        assert time.monotonic() < deadline, health
        time.sleep(0.1)


def load_on(container: Container) -> Load:
    rows = shipped_rows()
    one, many = json.dumps(rows.fraud), json.dumps({"transactions": rows.many(2000)})
    return Load(container.port, {"/predict": one.encode(), "/predict/batch": many.encode()})


class TestStopping:
    def test_every_request_in_flight_is_answered(self) -> None:
        with serving(*HARDENED, API_KEY=KEY) as container:
            load = load_on(container)
            with load.running(n_clients=16):
                load.wait_for_answers(200)
                exit_code, took = container.stop()
            logged = request_log(container)

        assert exit_code == 0
        assert took <= 10
        assert load.statuses() == {200}
        # Whatever the server took on, its client has got the reply.
        assert len(logged) == load.n_answered
        assert all(client.lost <= 1 and client.is_refused for client in load.clients)

    def test_draining_container_goes_on_serving_until_the_balancer_has_noticed(self) -> None:
        with serving(*HARDENED, API_KEY=KEY, DRAIN_SECONDS="4") as container:
            ask = Socket(container.port).send
            assert keeps_connections(container.port)
            load = load_on(container)
            with load.running(n_clients=16):
                load.wait_for_answers(100)
                docker("kill", "--signal", "TERM", container.id)
                wait_until_draining(container.port)
                at_first = load.n_answered
                time.sleep(1.5)
                new = ask(post("/predict", "predict_fraud.json"))
                offers_to_stay = keeps_connections(container.port)
                load.stop()
            exit_code = container.wait()
            logged = request_log(container)

        assert exit_code == 0
        assert load.n_answered > at_first
        assert (new.status, offers_to_stay) == (200, False)
        assert load.statuses() == {200}
        assert not any(client.lost or client.is_refused for client in load.clients)
        assert len(logged) == load.n_answered + 1


def keeps_connections(port: int) -> bool:
    """Tell whether the server would take another request on the same connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        return not response.will_close
    finally:
        connection.close()


def wait_until_draining(port: int) -> None:
    ask = Socket(port).send
    deadline = time.monotonic() + 5
    while (reply := ask(READY)).status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (reply.status, reply.json()["code"]) == (503, "shutting_down")
