"""Expand SAM templates to plain CloudFormation, as AWS does on deployment. Runs in the environment of the SAM CLI.

A list of templates comes in on stdin and a list of expanded ones goes out on stdout, both as JSON.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

PACKAGED = "s3://bucket/key"
REGION = "eu-west-1"


def expand(template: dict[str, Any]) -> dict[str, Any]:
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        for name in ("CodeUri", "ContentUri", "DefinitionUri"):
            if name in properties:
                properties[name] = PACKAGED  # `sam package` has put it there by then
    values = {name: parameter.get("Default") for name, parameter in template["Parameters"].items()}
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    expanded: dict[str, Any] = translator.translate(template, {**values, "AWS::Region": REGION})
    return expanded


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    json.dump([expand(template) for template in json.load(sys.stdin)], sys.stdout)
