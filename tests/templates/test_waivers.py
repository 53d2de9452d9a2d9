"""What `make validate` lets pass: each finding has a waiver, each waiver a finding, a reason and an end."""

from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from scripts import check_templates
from scripts.check_templates import CheckError, Finding, Waiver, judge, read_waivers
from tests.repository import ROOT
from tests.templates.cloudformation import Template, load_template
from tests.tools import tool

TODAY = datetime.date(2026, 11, 23)
LATER, EARLIER = datetime.date(2027, 1, 1), datetime.date(2026, 11, 22)
FINDING = Finding("checkov", "CKV_1", "template.yaml", "Api", "caching is off")
REASON = "A score is of the moment."


def waiver(**changes: Any) -> Waiver:
    values: dict[str, Any] = {"tool": "checkov", "rule": "CKV_1", "reason": REASON, "expires": LATER}
    return Waiver(**{**values, **changes})


def test_finding_without_a_waiver_is_a_fault() -> None:
    assert judge([FINDING], [], TODAY) == [str(FINDING)]


@pytest.mark.parametrize("resource", [None, "Api"])
def test_waived_finding_is_none(resource: str | None) -> None:
    assert judge([FINDING], [waiver(resource=resource)], TODAY) == []


@pytest.mark.parametrize("change", [{"tool": "cfn-lint"}, {"rule": "CKV_2"}, {"resource": "OtherApi"}])
def test_waiver_of_something_else_helps_nobody(change: dict[str, str]) -> None:
    faults = judge([FINDING], [waiver(**change)], TODAY)

    assert len(faults) == 2
    assert faults[1].endswith("is not needed: remove it")


def test_waiver_ends() -> None:
    assert judge([FINDING], [waiver(expires=TODAY)], TODAY) == []
    assert judge([FINDING], [waiver(expires=EARLIER)], TODAY) == [f"{waiver()} expired on {EARLIER}: look at it again"]


@pytest.mark.parametrize(
    "text",
    [
        "- {tool: checkov, rule: CKV_1, expires: 2027-01-01}",
        "- {tool: checkov, rule: CKV_1, reason: no, expires: 2027-01-01}",
        f"- {{tool: checkov, rule: CKV_1, reason: {REASON}}}",
        f"- {{tool: checkov, rule: CKV_1, reason: {REASON}, expires: never}}",
        f"- {{tool: checkov, rule: CKV_1, reason: {REASON}, expires: 2027-01-01, ressource: Api}}",
    ],
)
def test_waiver_without_a_reason_or_an_end_is_refused(text: str) -> None:
    with pytest.raises(CheckError):
        read_waivers(text)


def test_our_waivers_can_be_read() -> None:
    assert read_waivers(check_templates.WAIVERS.read_text(encoding="utf-8"))


# --- The tools catch what our own rules leave to them


def _write(template: Template, path: Path) -> str:
    path.write_text(json.dumps(template, default=str))
    return str(path)


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template(ROOT / "template.yaml")


def _old_runtime(template: Template) -> None:
    template["Resources"]["ApiFunction"]["Properties"]["Runtime"] = "python3.8"


def _wildcards(template: Template) -> None:
    role = template["Resources"]["ApiFunctionRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    role["Statement"].append({"Effect": "Allow", "Action": "*", "Resource": "*"})


def _no_such_property(template: Template) -> None:
    template["Resources"]["AccessLogs"]["Properties"]["Retention"] = 14


def _no_such_condition(template: Template) -> None:
    template["Resources"]["AlarmEmailSubscription"]["Condition"] = "HasEmail"


CAUGHT_BY_CFN_LINT = {
    "old runtime": (_old_runtime, {"E2531", "W2531", "E2533"}),
    "misspelt property": (_no_such_property, {"E3002"}),
    "misspelt condition": (_no_such_condition, {"E8002", "E1028", "E3001", "E8007", "E3015"}),
}


@pytest.fixture(scope="module")
def linted(template: Template, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The rules of cfn-lint that each spoiled template breaks: all in one run."""
    tool("cfn-lint")
    folder = tmp_path_factory.mktemp("spoiled")
    files = {}
    for name, (spoil, _) in CAUGHT_BY_CFN_LINT.items():
        spoiled = copy.deepcopy(template)
        spoil(spoiled)
        files[_write(spoiled, folder / f"{name.replace(' ', '-')}.json")] = name
    broken: dict[str, set[str]] = {name: set() for name in CAUGHT_BY_CFN_LINT}
    for finding in check_templates.cfn_lint_findings(list(files)):
        broken[files[finding.file]].add(finding.rule)
    return broken


@pytest.mark.parametrize("name", CAUGHT_BY_CFN_LINT)
def test_cfn_lint_catches(linted: dict[str, set[str]], name: str) -> None:
    assert linted[name] & CAUGHT_BY_CFN_LINT[name][1], linted[name]


def test_checkov_catches_wildcards_and_a_public_topic(template: Template, tmp_path: Path) -> None:
    tool("checkov")
    spoiled = copy.deepcopy(template)
    _wildcards(spoiled)
    spoiled["Resources"]["AlarmTopic"]["Properties"].pop("KmsMasterKeyId")
    spoiled["Resources"]["Api"]["Properties"].pop("TracingEnabled")

    found = check_templates.checkov_findings([_write(spoiled, tmp_path / "spoiled.json")])

    rules = {finding.rule for finding in found}
    assert {"CKV_AWS_26", "CKV_AWS_62", "CKV_AWS_73"} <= rules, rules
