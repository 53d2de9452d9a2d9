"""Templates as CloudFormation reads them: short functions written out, and nothing that only YAML would know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Template = dict[str, Any]


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
