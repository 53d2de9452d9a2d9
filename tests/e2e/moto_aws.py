"""moto's server, as one more process, behaving as AWS does where it would otherwise get in the way of ECS stacks.

Run as a script: python tests/e2e/moto_aws.py PORT
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from moto.cloudformation import parsing, responses
from moto.ecs.models import Service, TaskDefinition
from moto.server import main


def keep_what_cannot_be_updated() -> None:
    """An update drops resources whose class has no update, and stumbles over those whose condition is false."""
    update = parsing.parse_and_update_resource

    @functools.wraps(update)
    def parse_and_update_resource(logical_id: str, resource_json: Any, resources_map: Any, **where: str) -> Any:
        condition = resource_json.get("Condition")
        if condition and not resources_map.lazy_condition_map[condition]:
            return None
        return update(logical_id, resource_json, resources_map, **where) or resources_map[logical_id]

    parsing.parse_and_update_resource = parse_and_update_resource


def let_change_sets_be_empty() -> None:
    """AWS makes one that has failed; moto refuses to make it."""
    responses.CloudFormationResponse._validate_different_update = lambda *_: None  # type: ignore[method-assign]


def start_one_task_where_no_count_is_given() -> None:
    create = Service.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def create_from_cloudformation_json(cls: type[Service], name: str, document: Any, *where: Any, **more: Any) -> Any:
        document["Properties"].setdefault("DesiredCount", 1)
        return create(cls, name, document, *where, **more)

    Service.create_from_cloudformation_json = classmethod(create_from_cloudformation_json)  # type: ignore[assignment]


def write_updated_task_definitions_as_new_ones() -> None:
    """An update would leave the names of their properties as CloudFormation spells them."""

    def update_from_cloudformation_json(
        cls: type[TaskDefinition], *, new_resource_name: str, original_resource: Any, **rest: Any
    ) -> Any:
        return cls.create_from_cloudformation_json(resource_name=new_resource_name, **rest)

    TaskDefinition.update_from_cloudformation_json = classmethod(update_from_cloudformation_json)  # type: ignore[assignment]


if __name__ == "__main__":
    keep_what_cannot_be_updated()
    let_change_sets_be_empty()
    start_one_task_where_no_count_is_given()
    write_updated_task_definitions_as_new_ones()
    main(["--port", sys.argv[1]])
