"""ecs/Dockerfile: what no linter asks for, and that each of our own rules would notice a fault."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.repository import ROOT

DOCKERFILE = ROOT / "ecs" / "Dockerfile"
BASE = "public.ecr.aws/docker/library/python:3.12-slim-bookworm"


class Instruction(NamedTuple):
    name: str
    rest: str


Stages = list[list[Instruction]]


def read_stages(text: str) -> Stages:
    """Return the instructions of each stage; what comes before the first is the first item."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    stages: Stages = [[]]
    for line in filter(str.strip, code.splitlines()):
        name, rest = line.split(maxsplit=1)
        if name == "FROM":
            stages.append([])
        stages[-1].append(Instruction(name, re.sub(r"\s+", " ", rest)))
    return stages


def named(stage: list[Instruction], name: str) -> list[str]:
    return [each.rest for each in stage if each.name == name]


def base_can_be_pinned(stages: Stages) -> Iterator[str]:
    if named(stages[0], "ARG") != [f"BASE={BASE}"]:
        yield "the base is not an argument"
    for stage in stages[1:]:
        if not stage[0].rest.startswith("${BASE}"):
            yield f"a stage stands on {stage[0].rest}"


def packages_are_pinned_by_hash(stages: Stages) -> Iterator[str]:
    installs = [rest for stage in stages for rest in named(stage, "RUN") if "pip install" in rest]
    if not installs or any("--require-hashes" not in each or "--only-binary :all:" not in each for each in installs):
        yield "packages are installed without their hashes, or built"


def last_stage_is_given_what_others_made(stages: Stages) -> Iterator[str]:
    if len(stages) < 3:
        yield "there is one stage only"
    if not all(rest.startswith("--from=") for rest in named(stages[-1], "COPY")):
        yield "the last stage takes files of the checkout"
    if not any("pip uninstall" in rest for rest in named(stages[-1], "RUN")):
        yield "the base's installer stays"


def runs_as_a_numbered_user(stages: Stages) -> Iterator[str]:
    users = named(stages[-1], "USER")
    if users != ["10001:10001"]:
        yield f"the users are {users}"


def processes_are_started_without_a_shell(stages: Stages) -> Iterator[str]:
    commands = [*named(stages[-1], "CMD"), *(rest.partition("CMD ")[2] for rest in named(stages[-1], "HEALTHCHECK"))]
    if len(commands) != 2:
        yield "there is no command or no health check"
    for command in commands:
        try:
            words = json.loads(command)
        except ValueError:
            yield f"a shell runs {command}"
        else:
            if words[0] in ("sh", "bash", "/bin/sh", "/bin/bash"):
                yield f"a shell runs {command}"


def nothing_is_fetched_but_packages(stages: Stages) -> Iterator[str]:
    for stage in stages:
        for instruction in stage:
            if instruction.name == "ADD" or re.search(r"\b(curl|wget|apt-get|git) ", instruction.rest):
                yield f"{instruction.name} {instruction.rest}"


def builds_without_buildkit(stages: Stages) -> Iterator[str]:
    for stage in stages:
        for instruction in stage:
            if re.match(r"--(mount|chmod|link)\b", instruction.rest) or "<<" in instruction.rest:
                yield f"{instruction.name} {instruction.rest}"


def onnx_runtime_sends_nothing_home(stages: Stages) -> Iterator[str]:
    if not any("ORT_DISABLE_TELEMETRY=1" in rest for rest in named(stages[-1], "ENV")):
        yield "telemetry is on"


def botocore_keeps_the_models_of_services_that_are_called(stages: Stages) -> Iterator[str]:
    kept = [rest for rest in named(stages[1], "ARG") if rest.startswith("AWS_SERVICES=")]
    services = set(" ".join(kept).partition("=")[2].strip('"').split())
    code = "".join(path.read_text() for path in sorted((ROOT / "src" / "core").rglob("*.py")))
    for service in sorted(set(re.findall(r'client\(\s*"([a-z0-9-]+)"', code)) - services):
        yield f"there is no client of {service}"


RULES = (
    base_can_be_pinned,
    packages_are_pinned_by_hash,
    last_stage_is_given_what_others_made,
    runs_as_a_numbered_user,
    processes_are_started_without_a_shell,
    nothing_is_fetched_but_packages,
    builds_without_buildkit,
    onnx_runtime_sends_nothing_home,
    botocore_keeps_the_models_of_services_that_are_called,
)
SEEDED: dict[Callable[[Stages], Iterator[str]], tuple[str, str]] = {
    base_can_be_pinned: ("FROM ${BASE} AS app", "FROM python:latest AS app"),
    packages_are_pinned_by_hash: ("--require-hashes ", ""),
    last_stage_is_given_what_others_made: ("COPY --from=app /app /app", "COPY . /app"),
    runs_as_a_numbered_user: ("USER 10001:10001", "USER root"),
    processes_are_started_without_a_shell: ('CMD ["env", ', 'CMD ["sh", '),
    nothing_is_fetched_but_packages: ("EXPOSE 8000", "RUN curl -sL https://example.com/install | sh"),
    builds_without_buildkit: ("COPY src src", "COPY --chmod=644 src src"),
    botocore_keeps_the_models_of_services_that_are_called: (" stepfunctions", ""),
    onnx_runtime_sends_nothing_home: ("ORT_DISABLE_TELEMETRY=1", "ORT_DISABLE_TELEMETRY=0"),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_dockerfile_keeps_the_rule(rule: Callable[[Stages], Iterator[str]]) -> None:
    assert list(rule(read_stages(DOCKERFILE.read_text()))) == []


@pytest.mark.parametrize("rule", RULES)
def test_seeded_fault_is_caught(rule: Callable[[Stages], Iterator[str]]) -> None:
    right, wrong = SEEDED[rule]
    text = DOCKERFILE.read_text()
    assert text.count(right) == 1
    assert list(rule(read_stages(text.replace(right, wrong))))
