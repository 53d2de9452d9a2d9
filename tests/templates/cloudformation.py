"""Templates as CloudFormation reads them: short functions written out, and nothing that only YAML would know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Template = dict[str, Any]


LONGEST_INLINE_TEMPLATE = 51_200
"""In bytes: of what `aws cloudformation create-stack --template-body` takes."""


class _Loader(yaml.SafeLoader):
    """Knows the short forms of CloudFormation's functions."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)


def load_template(path: Path) -> Template:
    """Read a template."""
    template: Template = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader
    return template


def resources_of(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """Return the resources of a type, by their logical ids."""
    return {name: resource for name, resource in template["Resources"].items() if resource["Type"] == kind}


def watched_metrics(template: Template) -> set[str]:
    """Return the name of every metric that an alarm watches, by itself or in an expression."""
    watched: set[str] = set()
    for alarm in resources_of(template, "AWS::CloudWatch::Alarm").values():
        properties = alarm["Properties"]
        metrics = [metric["MetricStat"]["Metric"] for metric in properties.get("Metrics", []) if "MetricStat" in metric]
        watched |= {metric["MetricName"] for metric in metrics or [properties]}
    return watched


def alternatives(value: Any) -> Iterator[Any]:
    """Yield what a value can be, whatever the conditions: both sides of each `Fn::If`, and not `AWS::NoValue`."""
    if isinstance(value, dict) and "Fn::If" in value:
        for side in value["Fn::If"][1:]:
            yield from alternatives(side)
    elif value != {"Ref": "AWS::NoValue"}:
        yield value


def items_of(value: Any) -> list[Any]:
    """Return all that a list, or one item in place of it, can have in it."""
    found: list[Any] = []
    for alternative in alternatives(value):
        items = alternative if isinstance(alternative, list) else [alternative]
        found += [each for item in items for each in alternatives(item)]
    return found
