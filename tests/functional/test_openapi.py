"""The OpenAPI document tells the truth: its examples run, replies fit its schemas, every error status is declared."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import jsonschema
import pytest
from jsonschema import Draft202012Validator

from core.api.errors import PROBLEMS
from core.bundle import Bundle
from core.scoring.embedded import EmbeddedScorer
from tests.app_under_test import app_with
from tests.contract.case import KEY_HEADER, post
from tests.contract.exchange import Reply, Request
from tests.contract.table import TABLE
from tests.contract.transports import InProcess, Transport

Json = dict[str, Any]
GETS = ("/model", "/health", "/health/ready")
SCORING = ("/predict", "/predict/batch")


@pytest.fixture(scope="module", params=["creditcard", "tiny"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    found: Bundle = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def transport(bundle: Bundle) -> Iterator[Transport]:
    with InProcess.open(app_with(bundle, EmbeddedScorer(bundle))) as opened:
        yield opened


@pytest.fixture(scope="module")
def document(transport: Transport) -> Json:
    reply = transport.send(Request("GET", "/openapi.json", (KEY_HEADER,)))
    assert reply.status == 200
    return dict(reply.json())


def validator(document: Json, schema: Json) -> Draft202012Validator:
    """Return a validator that finds the components that `schema` refers to."""
    return Draft202012Validator({**schema, "components": document["components"]})


def content_of(document: Json, path: str) -> Json:
    return dict(document["paths"][path]["post"]["requestBody"]["content"])


def body_of(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def reply_schema(document: Json, path: str, reply: Reply) -> Json:
    [operation] = document["paths"][path].values()
    response = operation["responses"][str(reply.status)]
    return dict(response["content"][reply.header("content-type")]["schema"])


@pytest.mark.parametrize("path", SCORING)
def test_every_example_is_scored_as_it_stands_and_fits_its_schema(
    document: Json, transport: Transport, path: str
) -> None:
    contents = content_of(document, path)
    assert contents.keys() == {"application/json", "text/csv"} - ({"text/csv"} if path == "/predict" else set())
    for media_type, content in contents.items():
        assert content["examples"]
        for example in content["examples"].values():
            headers = (KEY_HEADER, (b"content-type", media_type.encode()))
            reply = transport.send(post(path, body_of(example["value"]), headers=headers))
            assert reply.status == 200, reply.body
            validator(document, content["schema"]).validate(example["value"])
            validator(document, reply_schema(document, path, reply)).validate(reply.json())


@pytest.mark.parametrize("path", SCORING)
def test_every_example_is_explained_as_the_parameters_examples_say(
    document: Json, transport: Transport, path: str
) -> None:
    [parameter] = document["paths"][path]["post"]["parameters"]
    assert (parameter["name"], parameter["in"]) == ("explain", "query")
    for media_type, content in content_of(document, path).items():
        for example, asked in product(content["examples"].values(), parameter["examples"].values()):
            target = f"{path}?explain={json.dumps(asked['value'])}"
            headers = (KEY_HEADER, (b"content-type", media_type.encode()))
            reply = transport.send(post(target, body_of(example["value"]), headers=headers))
            assert reply.status == 200, reply.body
            validator(document, reply_schema(document, path, reply)).validate(reply.json())
            for prediction in reply.json().get("predictions", [reply.json()]):
                assert ("reasons" in prediction) is asked["value"]


@pytest.mark.parametrize("path", GETS)
def test_reply_of_every_other_route_fits_its_schema(document: Json, transport: Transport, path: str) -> None:
    reply = transport.send(Request("GET", path, (KEY_HEADER,)))

    validator(document, reply_schema(document, path, reply)).validate(reply.json())


def test_document_is_valid_openapi_with_valid_schemas(document: Json) -> None:
    assert document["openapi"] == "3.1.0"
    assert document["paths"].keys() == {*GETS, *SCORING}
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert "HTTPValidationError" not in document["components"]["schemas"]
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(names)) == len(names)


def test_health_needs_no_key_and_all_else_does(document: Json) -> None:
    [scheme] = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "x-api-key")
    for path, item in document["paths"].items():
        for operation in item.values():
            security = operation.get("security", document["security"])
            assert security == ([] if path.startswith("/health") else [{"ApiKey": []}])


def test_every_reply_to_the_contract_table_is_declared_with_its_status_and_fits_its_schema(
    document: Json, transport: Transport
) -> None:
    """Whatever the bundle: to another than the table's, most requests are bad ones, and are to be refused in form."""
    n_checked = 0
    for case in TABLE.values():
        path = case.request.target.partition("?")[0]
        operation = document["paths"].get(path, {}).get(case.request.method.lower())
        if operation is not None:
            reply = transport.send(case.request)
            schema = reply_schema(document, path, reply)
            validator(document, schema).validate(reply.json())
            n_checked += 1
    assert n_checked > 150


def test_every_problem_is_declared_where_it_can_be_met_with_an_example_of_its_code(document: Json) -> None:
    for path in SCORING:
        responses = document["paths"][path]["post"]["responses"]
        for problem in PROBLEMS.values():
            if problem.code in ("shutting_down", "model_refused"):
                continue  # only readiness and the route that exchanges the model say so
            content = responses[str(problem.status)]["content"]["application/problem+json"]
            example = content["examples"][problem.code]["value"]
            validator(document, content["schema"]).validate(example)
            assert (example["code"], example["status"]) == (problem.code, problem.status)


def test_429_and_503_declare_when_to_come_back(document: Json) -> None:
    for path, item in document["paths"].items():
        for operation in item.values():
            for status, response in operation["responses"].items():
                assert {"X-Request-Id", "X-Model-Version"} <= response["headers"].keys()
                assert ("Retry-After" in response["headers"]) == (status in ("429", "503")), (path, status)


BAD_VALUES = [None, True, "1.5", [], {}, math.inf, 1e308]


@pytest.mark.parametrize("bad", BAD_VALUES, ids=repr)
def test_what_the_schema_of_a_transaction_refuses_the_service_refuses_too(
    bundle: Bundle, document: Json, transport: Transport, bad: object
) -> None:
    schema = validator(document, content_of(document, "/predict")["application/json"]["schema"])
    first = bundle.field_names[0]
    good = bundle.golden.transactions[0]
    for transaction in ({**good, first: bad}, {"features": [bad, *list(good.values())[1:]]}, {**good, "more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            schema.validate(transaction)
        assert transport.send(post("/predict", json.dumps(transaction))).status in (400, 422)


def test_fields_are_described_with_their_ranges(bundle: Bundle, document: Json) -> None:
    properties = document["components"]["schemas"]["TransactionObject"]["properties"]
    assert properties.keys() == {"transaction_id", *bundle.field_names}
    for field in bundle.manifest.fields:
        assert properties[field.name]["minimum"] == field.minimum
        assert properties[field.name]["maximum"] == field.maximum
        assert properties[field.name]["description"] == field.description


def test_disabled_authentication_is_not_declared(tiny: Bundle) -> None:
    app = app_with(tiny, EmbeddedScorer(tiny), api_key=None, auth_disabled=True)
    assert app.openapi()["security"] == []
    assert app.openapi()["components"]["securitySchemes"] == {}


def test_optional_field_is_nullable_and_not_required(tiny_optional: Bundle) -> None:
    with InProcess.open(app_with(tiny_optional, EmbeddedScorer(tiny_optional))) as opened:
        document = dict(opened.send(Request("GET", "/openapi.json", (KEY_HEADER,))).json())
        body = json.dumps({"class": 2, "log.amount": 300.0, "json": None}).encode()
        reply = opened.send(post("/predict", body))

    form = document["components"]["schemas"]["TransactionObject"]
    assert form["required"] == ["class", "log.amount"]
    assert [each["type"] for each in form["properties"]["json"]["anyOf"]] == ["number", "null"]
    pattern = content_of(document, "/predict/batch")["text/csv"]["schema"]["pattern"]
    assert re.search(pattern, "json,class,log.amount\n,2,300\n1.5,2,300\n")
    assert not re.search(pattern, "json,class,log.amount\n1.5,,300\n")
    assert reply.status == 200
