"""Check the templates and the Dockerfile with the tools that know AWS and Docker; nothing unwaived may be left.

    python scripts/check_templates.py

Each tool has an environment of its own below .tools, which `make validate` prepares. What is waived, and why, is in
.checks/waivers.yaml.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
WAIVERS = ROOT / ".checks" / "waivers.yaml"
SAM_TEMPLATES = ("template.yaml",)
TEMPLATES = ("template.yaml", "ecs/template.yaml", "sagemaker/template.yaml")
DOCKERFILES = ("ecs/Dockerfile",)
SWITCHES = {
    "template.yaml": {"Jobs": "true"},
    "ecs/template.yaml": {
        "JobsTable": "fraud-scoring-jobs",
        "JobsBucket": "fraud-scoring-jobs",
        "JobsStateMachineArn": "arn:aws:states:eu-west-1:123456789012:stateMachine:fraud-scoring-score-job",
        "JobsKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/jobs",
        "JobsInputBucket": "transactions",
        "JobsInputKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/transactions",
    },
}
"""Parameters that are off by default: checkov leaves out what their conditions leave out, and is asked once more."""


class CheckError(Exception):
    """A tool could not do its work."""


@dataclass(frozen=True)
class Finding:
    """What a tool says is wrong; `resource` is the logical id, or the line of a Dockerfile."""

    tool: str
    rule: str
    file: str
    resource: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.resource}: {self.message} ({self.tool} {self.rule})"


@dataclass(frozen=True)
class Waiver:
    """A finding that we do not follow; without `resource` it is about the whole of its kind."""

    tool: str
    rule: str
    reason: str
    expires: datetime.date
    resource: str | None = None

    def covers(self, finding: Finding) -> bool:
        return (self.tool, self.rule) == (finding.tool, finding.rule) and self.resource in (None, finding.resource)

    def __str__(self) -> str:
        return f"waiver of {self.tool} {self.rule}" + (f" for {self.resource}" if self.resource else "")


def read_waivers(text: str) -> list[Waiver]:
    """Read the waivers.

    Raises
    ------
    CheckError
        One has no reason or no end, or something else in it.
    """
    try:
        waivers = [Waiver(**entry) for entry in yaml.safe_load(text) or []]
    except TypeError as error:
        raise CheckError(f"{WAIVERS.name}: {error}") from error
    for waiver in waivers:
        if not isinstance(waiver.expires, datetime.date) or len(str(waiver.reason)) < 20:
            raise CheckError(f"{WAIVERS.name}: {waiver}: a reason and the date of its end are needed")
    return waivers


def judge(findings: Sequence[Finding], waivers: Iterable[Waiver], today: datetime.date) -> list[str]:
    """Return what is wrong: findings without a waiver, and waivers without an effect or past their end."""
    waivers = list(waivers)
    faults = [str(finding) for finding in findings if not any(waiver.covers(finding) for waiver in waivers)]
    for waiver in waivers:
        if waiver.expires < today:
            faults.append(f"{waiver} expired on {waiver.expires}: look at it again")
        if not any(waiver.covers(finding) for finding in findings):
            faults.append(f"{waiver} is not needed: remove it")
    return faults


def run(tool: str, *arguments: str, accept: Sequence[int] = (0,)) -> str:
    """Run a tool in the root of the project and return what it prints."""
    command = [str(TOOLS / tool / "bin" / tool), *arguments]
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-west-1", "LOG_LEVEL": "ERROR"}
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise CheckError(f"there is no {command[0]}: run `make validate`") from None
    if done.returncode not in accept:
        raise CheckError(f"{tool} failed with exit code {done.returncode}: {(done.stderr or done.stdout)[-500:]}")
    return done.stdout


def sam_findings(templates: Sequence[str]) -> list[Finding]:
    """Return what `sam validate --lint` says."""
    found = []
    for template in templates:
        said = run("sam", "validate", "--lint", "--template", template, accept=(0, 1))
        if "is a valid SAM Template" not in said:
            found.append(Finding("sam", "validate", template, "-", said.strip()))
    return found


def cfn_lint_findings(templates: Sequence[str]) -> list[Finding]:
    """Return what cfn-lint says: errors, warnings and advice."""
    # The exit code is a sum of 2 (errors), 4 (warnings) and 8 (advice).
    said = run("cfn-lint", "--include-checks", "I", "--format", "json", "--", *templates, accept=range(16))
    return [
        Finding("cfn-lint", each["Rule"]["Id"], each["Filename"], _resource_of(each), each["Message"])
        for each in json.loads(said or "[]")
    ]


def _resource_of(match: dict[str, Any]) -> str:
    path = (match["Location"].get("Path") or []) + ["-", "-"]
    return str(path[1] if path[0] == "Resources" else path[0])


def checkov_findings(files: Sequence[str], framework: str = "cloudformation") -> list[Finding]:
    """Return what checkov says."""
    options = ["--framework", framework, "--skip-download", "--compact", "--quiet", "--output", "json", "--file"]
    report = json.loads(run("checkov", *options, *files, accept=(0, 1)))
    if "results" not in report:
        raise CheckError(f"checkov read no file of {', '.join(files)}")
    if unread := report["results"].get("parsing_errors"):
        raise CheckError(f"checkov cannot read {', '.join(unread)}")
    return [
        Finding("checkov", each["check_id"], each["file_path"].lstrip("/"), _id_of(each), each["check_name"])
        for each in report["results"]["failed_checks"]
    ]


def switched_on_findings(switches: dict[str, dict[str, str]]) -> list[Finding]:
    """Return what checkov says of templates with all that parameters switch on, given their values."""
    found: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        for template, values in switches.items():
            text = (ROOT / template).read_text(encoding="utf-8")
            for name, value in values.items():
                off = rf'(?m)^(  {name}:\n(?:    .*\n)*?    Default: )"(?:false)?"$'
                text, count = re.subn(off, rf'\1"{value}"', text)
                if count != 1:
                    raise CheckError(f"{template} has no parameter {name} that is off by default")
            copy = Path(folder) / Path(template).name
            copy.write_text(text, encoding="utf-8")
            found += [replace(each, file=template) for each in checkov_findings([str(copy)])]
    return found


def _id_of(check: dict[str, Any]) -> str:
    return str(check["resource"]).rpartition(".")[2].rstrip("/") or "-"


def dockerfile_findings(files: Sequence[str]) -> list[Finding]:
    """Return what checkov and hadolint say of Dockerfiles."""
    found = checkov_findings(files, "dockerfile")
    for each in json.loads(run("hadolint", "--format", "json", *files, accept=(0, 1))):
        found.append(Finding("hadolint", each["code"], each["file"], f"line {each['line']}", each["message"]))
    return found


CHECKS: dict[str, Callable[[], list[Finding]]] = {
    "sam validate --lint": lambda: sam_findings(SAM_TEMPLATES),
    "cfn-lint": lambda: cfn_lint_findings(TEMPLATES),
    "checkov": lambda: checkov_findings(TEMPLATES),
    "checkov with everything switched on": lambda: switched_on_findings(SWITCHES),
    "hadolint and checkov on Dockerfiles": lambda: dockerfile_findings(DOCKERFILES),
}


def main() -> int:
    try:
        waivers = read_waivers(WAIVERS.read_text(encoding="utf-8"))
        findings: list[Finding] = []
        for name, check in CHECKS.items():
            found = check()
            findings += found
            print(f"{name}: {len(found)} found, {sum(any(w.covers(f) for w in waivers) for f in found)} waived")
        faults = judge(findings, waivers, datetime.datetime.now(tz=datetime.timezone.utc).date())
    except CheckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
