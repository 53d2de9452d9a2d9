"""ecs/deploy.sh and ecs/deploy.ps1: the same steps, and one clear line before anything is made that could not work."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.repository import ROOT
from tests.templates.powershell import ANY_WORDS, Script, Words
from tests.tools import tool

BASH, POWERSHELL = ROOT / "ecs" / "deploy.sh", ROOT / "ecs" / "deploy.ps1"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:keys-AbCdEf"
NOT_IN_A_DRY_RUN = [("docker", "version"), ("aws", "configure", "get", "region")]
MAKES_SOMETHING = re.compile(r" (create|deploy|put|delete|update|push|build|login)")

# Stands in for a command: notes how it was called, and answers as the test says.
STAND_IN = """#!{python}
import json, pathlib, sys
folder, call = pathlib.Path(__file__).parent, " ".join([pathlib.Path(__file__).name, *sys.argv[1:]])
with (folder / "calls").open("a") as calls:
    print(call, file=calls)
for begin, (code, out, err) in json.loads((folder / "answers").read_text()):
    if call.startswith(begin):
        print(out, end="")
        print(err, end="", file=sys.stderr)
        sys.exit(code)
"""

Answer = tuple[int, str, str]
"""Exit code, stdout, stderr."""
ACCOUNT = ("aws sts get-caller-identity", (0, "123456789012\n", ""))
NO_STACK = (255, "", "\nAn error occurred (ValidationError): Stack with id fraud-scoring-ecs does not exist\n")


@dataclass
class Machine:
    """A machine with these commands on its path, and nothing configured."""

    folder: Path
    answers: list[tuple[str, Answer]] = field(default_factory=list)

    def install(self, *commands: str) -> None:
        for name in commands:
            (self.folder / name).write_text(STAND_IN.format(python=sys.executable))
            (self.folder / name).chmod(0o755)

    def answer(self, *answers: tuple[str, Answer]) -> None:
        """Let commands that begin so answer so; others succeed and say nothing."""
        self.answers += answers

    def deploy(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "answers").write_text(json.dumps(self.answers))
        return subprocess.run(  # noqa: S603 - our own script
            [str(BASH), *options],
            env={"PATH": str(self.folder), "HOME": str(self.folder), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without Docker and the AWS CLI."""
    for name in ("bash", "cat", "dirname", "env", "grep", "mktemp", "paste", "rm", "sed", "tail"):
        path = shutil.which(name)
        assert path is not None, name
        (tmp_path / name).symlink_to(path)
    return Machine(tmp_path)


@pytest.fixture
def equipped(machine: Machine) -> Machine:
    """A machine with both, and with credentials."""
    machine.install("aws", "docker")
    machine.answer(ACCOUNT)
    return machine


def dry_run(machine: Machine, *options: str) -> list[list[str]]:
    """Return the commands that a dry run prints."""
    done = machine.deploy("--dry-run", *options)
    assert (done.returncode, done.stderr) == (0, "")
    words = [shlex.split(line) for line in done.stdout.splitlines() if line.startswith("  ")]
    return [line for line in words if line[0] in ("aws", "docker")]


@pytest.mark.parametrize(
    "script", [BASH, *sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"], ids=lambda script: script.name
)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    command = [str(tool("shellcheck") / "bin" / "shellcheck"), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own
    assert (done.returncode, done.stdout) == (0, "")


class TestSameSteps:
    def test_powershell_script_has_no_syntax_error(self) -> None:
        assert Script(POWERSHELL).syntax_errors() == []

    def test_broken_powershell_would_be_noticed(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken.ps1"
        broken.write_bytes(POWERSHELL.read_bytes().replace(b"foreach ($pair in $Parameter) {", b"foreach ($pair in {"))
        assert Script(broken).syntax_errors()

    def test_both_scripts_run_the_same_commands_in_the_same_order(self, machine: Machine) -> None:
        everything = ("--api-keys-secret-arn", SECRET, "--parameter", "LoadBalancer=false")
        by_bash = dry_run(machine, *everything)
        by_powershell = [words for words in Script(POWERSHELL).command_lines() if words not in NOT_IN_A_DRY_RUN]
        assert len(by_bash) == len(by_powershell) > 20
        different = [pair for pair in zip(by_bash, by_powershell, strict=True) if not is_same(*pair)]
        assert different == []

    def test_both_scripts_check_what_a_dry_run_does_not(self) -> None:
        left_out = [words for words in Script(POWERSHELL).command_lines() if words in NOT_IN_A_DRY_RUN]
        assert left_out == NOT_IN_A_DRY_RUN
        text = BASH.read_text()
        assert all(" ".join(words) in text for words in NOT_IN_A_DRY_RUN)

    def test_both_scripts_take_the_same_options_and_say_so(self, machine: Machine) -> None:
        usage = machine.deploy("--help")
        script = POWERSHELL.read_text()
        long_options = set(re.findall(r"^  (--[a-z-]+)", usage.stdout, re.MULTILINE))
        declared = set(re.findall(r"^    \[(?:string|string\[\]|switch)\] \$(\w+)", script, re.MULTILINE))
        explained = set(re.findall(r"^  -(\w+)", script[script.index("$Usage") :], re.MULTILINE))
        assert usage.returncode == 0
        assert {option.replace("-", "") for option in long_options} == {name.lower() for name in declared}
        assert explained == declared

    @pytest.mark.parametrize("script", [BASH, POWERSHELL], ids=["bash", "powershell"])
    def test_no_script_names_an_account(self, script: Path) -> None:
        assert not re.search(r"\b[0-9]{12}\b", script.read_text())


def is_same(words: list[str], pattern: Words) -> bool:
    """Tell whether the words fit a pattern in which variables are left open."""
    if ANY_WORDS in pattern:
        at, n_after = pattern.index(ANY_WORDS), len(pattern) - pattern.index(ANY_WORDS) - 1
        rest = words[len(words) - n_after :]
        return is_same(words[:at], pattern[:at]) and is_same(rest, pattern[at + 1 :])
    return len(words) == len(pattern) and all(map(fits, words, pattern))


def fits(word: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), word) is not None


class TestDryRun:
    def test_prints_each_step_and_runs_nothing(self, equipped: Machine) -> None:
        printed = dry_run(equipped)
        assert equipped.calls() == []
        assert [words[:3] for words in printed if MAKES_SOMETHING.search(" ".join(words))] == [
            ["aws", "cloudformation", "create-stack"],
            ["docker", "build", "--file"],
            ["docker", "login", "--username"],
            ["docker", "push", "ACCOUNT.dkr.ecr.REGION.amazonaws.com/fraud-scoring-ecs:IMAGE_ID"],
            ["aws", "cloudformation", "deploy"],
        ]

    def test_needs_neither_docker_nor_aws(self, machine: Machine) -> None:
        assert dry_run(machine)

    def test_passes_on_what_is_given(self, machine: Machine) -> None:
        options = ("--stack", "other", "--parameter", "AlarmEmail=a@example.com", "--registry", "proxy.example.com")
        printed = [" ".join(words) for words in dry_run(machine, *options)]
        assert any("--stack-name other" in line and "ParameterValue=a@example.com" in line for line in printed)
        assert any("--parameter-overrides" in line and "AlarmEmail=a@example.com" in line for line in printed)
        assert "docker push proxy.example.com/other:IMAGE_ID" in printed
        [deploy] = [line for line in printed if " deploy " in line]
        assert "ImageUri=ACCOUNT.dkr.ecr.REGION.amazonaws.com/other@sha256:DIGEST" in deploy


def expect_refusal(machine: Machine, line: str, *options: str, **environment: str) -> None:
    """Deploying must end with this one line, before anything was made."""
    done = machine.deploy(*options, **environment)
    assert done.returncode == 1
    assert done.stderr == f"deploy.sh: {line}\n"
    assert [call for call in machine.calls() if MAKES_SOMETHING.search(call)] == []


REGION = ("--region", "eu-west-1")


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "line"),
        [
            (("--bucket", "b"), "unknown option --bucket: see ecs/deploy.sh --help"),
            (("--stack",), "--stack needs a value: see ecs/deploy.sh --help"),
            (("--region", ""), "--region needs a value: see ecs/deploy.sh --help"),
            (("--stack", "Fraud_1"), "--stack takes small letters, digits and hyphens, not Fraud_1"),
            (("--api-keys-secret-arn", "keys"), "--api-keys-secret-arn takes the ARN of a secret, not keys"),
            (("--parameter", "MinTasks"), "--parameter takes NAME=VALUE without commas, not MinTasks"),
            (("--parameter", "ImageUri=x"), "--parameter ImageUri is set by this script"),
        ],
    )
    def test_wrong_option(self, equipped: Machine, options: tuple[str, ...], line: str) -> None:
        expect_refusal(equipped, line, *options)
        assert equipped.calls() == []

    def test_unknown_parameter_names_the_known_ones(self, equipped: Machine) -> None:
        done = equipped.deploy("--parameter", "MinTask=3")
        assert done.stderr.startswith(
            "deploy.sh: --parameter MinTask is none of ecs/template.yaml, which has ImageUri "
        )
        assert " MinTasks " in done.stderr
        assert equipped.calls() == []

    @pytest.mark.parametrize(("there", "missing"), [("docker", "aws"), ("aws", "docker")])
    def test_missing_tool(self, machine: Machine, there: str, missing: str) -> None:
        machine.install(there)
        expect_refusal(machine, f"there is no command {missing}: install it first", *REGION)

    def test_engine_that_does_not_answer(self, equipped: Machine) -> None:
        equipped.answer(("docker version", (1, "", "Cannot connect to the Docker daemon\n")))
        expect_refusal(equipped, "docker does not answer: start it first", *REGION)

    def test_no_region(self, equipped: Machine) -> None:
        equipped.answer(("aws configure get region", (1, "", "")))
        expect_refusal(equipped, "no AWS region is set: give --region")

    def test_no_credentials(self, machine: Machine) -> None:
        machine.install("aws", "docker")
        machine.answer(("aws sts", (255, "", "\nUnable to locate credentials\n")))
        line = "AWS takes no credentials from here (Unable to locate credentials): sign in first"
        expect_refusal(machine, line, *REGION)

    def test_secret_that_is_not_there(self, equipped: Machine) -> None:
        equipped.answer(("aws secretsmanager describe-secret", (255, "", "\nResourceNotFoundException\n")))
        line = "the secret cannot be found (ResourceNotFoundException)"
        expect_refusal(equipped, line, *REGION, "--api-keys-secret-arn", SECRET)

    def test_stack_that_may_not_be_looked_up(self, equipped: Machine) -> None:
        equipped.answer(("aws cloudformation describe-stacks", (255, "", "\nAccessDenied\n")))
        expect_refusal(equipped, "the stack cannot be looked up (AccessDenied)", *REGION)

    @pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "REVIEW_IN_PROGRESS", "DELETE_FAILED"])
    def test_stack_that_was_never_made(self, equipped: Machine, status: str) -> None:
        equipped.answer(("aws cloudformation describe-stacks", (0, f"{status}\n", "")))
        line = (
            f"the stack fraud-scoring-ecs was never made ({status}): "
            "aws cloudformation delete-stack --stack-name fraud-scoring-ecs clears it"
        )
        expect_refusal(equipped, line, *REGION)

    @pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"])
    def test_stack_that_is_being_changed(self, equipped: Machine, status: str) -> None:
        equipped.answer(("aws cloudformation describe-stacks", (0, f"{status}\n", "")))
        expect_refusal(equipped, f"the stack fraud-scoring-ecs is {status}: try again when that is over", *REGION)


DESCRIBE = "aws cloudformation describe-stacks --stack-name fraud-scoring-ecs --query Stacks[0]."
OUTPUTS = {
    "Repository": "1.dkr.example.com/fraud-scoring-ecs",
    "Cluster": "cluster-1",
    "Service": "service-1",
    "Url": "",
    "ApiKeysSecret": SECRET,
}


@pytest.fixture
def without_load_balancer(equipped: Machine) -> Machine:
    """A machine whose account has a stack without a load balancer, and the image in its repository."""
    equipped.answer((f"{DESCRIBE}StackStatus", (0, "UPDATE_COMPLETE\n", "")))
    for key, value in OUTPUTS.items():
        equipped.answer((f"{DESCRIBE}Outputs[?OutputKey=='{key}']", (0, f"{value}\n", "")))
    equipped.answer(
        ("docker image inspect --format {{.Id}}", (0, f"sha256:{'ab' * 32}\n", "")),
        ("docker image inspect --format {{.Architecture}}", (0, "arm64\n", "")),
        ("aws ecr get-login-password", (0, "pass-word\n", "")),
        ("aws ecr describe-images", (0, f"sha256:{'cd' * 32}\n", "")),
        ("aws ecs list-tasks", (0, "task-1\n", "")),
        ("aws ecs describe-tasks --cluster cluster-1 --tasks task-1", (0, "eni-1\n", "")),
        ("aws ec2 describe-network-interfaces --network-interface-ids eni-1", (0, "192.0.2.7\n", "")),
    )
    return equipped


class TestDeploying:
    def test_without_a_load_balancer_finds_the_address_of_a_task(self, without_load_balancer: Machine) -> None:
        done = without_load_balancer.deploy(*REGION)
        assert (done.returncode, done.stderr) == (0, "")
        assert "The service is up: http://192.0.2.7:8000\n" in done.stdout
        assert "There is no certificate: API keys travel in the clear." in done.stdout

    def test_image_that_is_there_is_not_pushed_again(self, without_load_balancer: Machine) -> None:
        done = without_load_balancer.deploy(*REGION)
        calls = without_load_balancer.calls()
        assert "  abababababababab is there\n" in done.stdout
        assert not [call for call in calls if call.startswith(("docker push", "aws cloudformation create-stack"))]
        [deployed] = [call for call in calls if call.startswith("aws cloudformation deploy")]
        image = f"ImageUri=1.dkr.example.com/fraud-scoring-ecs@sha256:{'cd' * 32}"
        assert deployed.endswith(f"--parameter-overrides {image} CpuArchitecture=ARM64")

    def test_password_is_in_no_command_line_and_in_no_output(self, without_load_balancer: Machine) -> None:
        done = without_load_balancer.deploy(*REGION)
        assert "pass-word" not in done.stdout + done.stderr + "".join(without_load_balancer.calls())

    @pytest.mark.parametrize(
        ("failing", "line"),
        [
            (
                "aws cloudformation deploy",
                "the stack was not updated: "
                "aws cloudformation describe-stack-events --stack-name fraud-scoring-ecs says why",
            ),
            (
                "aws ecs wait",
                "the service is not stable: "
                "aws ecs describe-services --cluster cluster-1 --services service-1 says why",
            ),
        ],
    )
    def test_failure_tells_where_the_reason_is(self, without_load_balancer: Machine, failing: str, line: str) -> None:
        without_load_balancer.answer((failing, (255, "", "")))
        done = without_load_balancer.deploy(*REGION)
        assert (done.returncode, done.stderr) == (1, f"deploy.sh: {line}\n")

    def test_image_for_another_kind_of_machine_is_refused(self, without_load_balancer: Machine) -> None:
        answers = without_load_balancer.answers
        answers[:] = [pair for pair in answers if "Architecture" not in pair[0]]
        without_load_balancer.answer(("docker image inspect --format {{.Architecture}}", (0, "riscv64\n", "")))
        done = without_load_balancer.deploy(*REGION)
        assert done.stderr == "deploy.sh: Fargate runs images for amd64 and arm64, not for riscv64\n"

    def test_first_deployment_makes_the_stack_and_a_failure_leaves_none(self, equipped: Machine) -> None:
        equipped.answer(
            (f"{DESCRIBE}StackStatus", NO_STACK),
            ("aws cloudformation create-stack", (0, "arn:stack-1\n", "")),
            ("aws cloudformation wait", (255, "", "Waiter StackCreateComplete failed\n")),
        )
        done = equipped.deploy(*REGION, "--parameter", "MinTasks=3")
        [created] = [call for call in equipped.calls() if "create-stack " in call]
        assert "--on-failure DELETE --parameters ParameterKey=MinTasks,ParameterValue=3 " in created
        assert done.stderr.endswith("describe-stack-events --stack-name arn:stack-1 says why\n")
        assert not [call for call in equipped.calls() if call.startswith("docker build")]
