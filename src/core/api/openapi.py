"""The OpenAPI document, made from the bundle: its fields, its limits, and examples that run as they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.api.errors import MAX_RETRY_AFTER_S, RETRY_AFTER_S
from core.api.limits import CSV
from core.api.openapi_parts import GUARDED, Json, json_content, operation, problem_schema, ref
from core.api.query import explain_parameter, reasons_schema
from core.bundle import Bundle
from core.preprocessing import FieldSpec
from core.service import ScoringService
from core.settings import Settings
from core.transactions import ID_COLUMN, MAX_ID_LENGTH, TransactionSchema

TITLE = "Fraud scoring"
VERSION = "0.1.0"
_SCHEMES = {"ApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"}}
_DESCRIPTION = (
    "Scores card transactions for fraud. `fraud_score` is a calibrated probability; `decision` follows from the "
    "thresholds of the model. Every error is a problem document (RFC 9457) with a stable `code`."
)

_HEADERS: Json = {
    "X-Request-Id": {
        "description": "The caller's own, or a new one.",
        "schema": {"type": "string"},
    },
    "X-Model-Version": {"description": "The model that serves.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds to wait before the next try.",
        "schema": {"type": "integer", "minimum": RETRY_AFTER_S[0], "maximum": MAX_RETRY_AFTER_S},
    },
}


def build_document(
    service: ScoringService,
    settings: Settings,
    schema: TransactionSchema,
    *,
    reloadable: bool = False,
    more_paths: Json | None = None,
    more_schemas: Json | None = None,
) -> Json:
    """Return the OpenAPI 3.1 document of the app that serves `service`, and what `more_paths` describe."""
    bundle = service.bundle
    examples = _examples(bundle)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": _DESCRIPTION},
        "paths": {
            "/predict": {"post": _predict(examples, settings)},
            "/predict/batch": {"post": _predict_batch(bundle, examples, settings)},
            **({"/model/reload": {"post": _reload()}} if reloadable else {}),
            "/model": {"get": operation("model", "Describe the model", json_content(_model(bundle)), (401,))},
            "/health": {
                "get": operation("health", "Is the process alive?", json_content(_status("ok")), open_to_all=True)
            },
            "/health/ready": {
                "get": operation(
                    "ready",
                    "Could a transaction be scored now?",
                    json_content(_status("ready", model_version={"type": "string"})),
                    (502, 503, 504),
                    open_to_all=True,
                )
            },
            **(more_paths or {}),
        },
        "components": {
            "securitySchemes": {} if settings.auth_disabled else _SCHEMES,
            "schemas": {
                "Transaction": {"anyOf": [ref("TransactionObject"), ref("TransactionVector")]},
                "TransactionObject": _object_form(schema),
                "TransactionVector": _vector_form(schema),
                "Prediction": _prediction(),
                "Problem": problem_schema(),
                **(more_schemas or {}),
            },
            "headers": _HEADERS,
        },
        "security": [] if settings.auth_disabled else [{"ApiKey": []}],
    }


def _reload() -> Json:
    reply = {
        "type": "object",
        "required": ["model_version", "changed"],
        "properties": {"model_version": {"type": "string"}, "changed": {"type": "boolean"}},
    }
    return operation("reload", "Load the model bundle anew, and serve it", json_content(reply), (*GUARDED, 403, 409))


def _predict(examples: list[Json], settings: Settings) -> Json:
    reply = {**_prediction(), "required": [*_prediction()["required"], "model_version"]}
    reply["properties"] = {**reply["properties"], "model_version": {"type": "string"}}
    vector = {"transaction_id": "t-3", "features": [v for k, v in examples[0].items() if k != ID_COLUMN]}
    named = {"legitimate": examples[0], "fraud": examples[-1], "vector": vector}
    described = operation("predict", "Score one transaction", json_content(reply), _SCORING)
    described["parameters"] = [explain_parameter()]
    described["requestBody"] = {
        "required": True,
        "description": f"At most {settings.max_body_bytes} bytes.",
        "content": json_content(ref("Transaction"), {name: {"value": value} for name, value in named.items()}),
    }
    return described


def _predict_batch(bundle: Bundle, examples: list[Json], settings: Settings) -> Json:
    batch = {
        "type": "object",
        "additionalProperties": False,
        "required": ["transactions"],
        # No `maxItems`: more items than allowed are no fault of form, and answered 413, not 422.
        "properties": {"transactions": {"type": "array", "minItems": 1, "items": ref("Transaction")}},
    }
    reply = {
        "type": "object",
        "required": ["predictions", "model_version"],
        "properties": {
            "predictions": {"type": "array", "items": ref("Prediction")},
            "model_version": {"type": "string"},
        },
    }
    columns = [ID_COLUMN, *bundle.field_names]
    lines = [",".join(columns), *(",".join(str(example[name]) for name in columns) for example in examples)]
    described = operation("predict_batch", "Score a list of transactions, all or none", json_content(reply), _SCORING)
    described["parameters"] = [explain_parameter(f" At most {settings.max_explained_items} transactions, then.")]
    described["requestBody"] = {
        "required": True,
        "description": f"At most {settings.max_batch_items} transactions in {settings.max_batch_body_bytes} bytes.",
        "content": {
            **json_content(batch, {"batch": {"value": {"transactions": examples}}}),
            CSV: {
                "schema": _table(bundle.manifest.fields, examples[0]),
                "examples": {"table": {"value": "\n".join(lines) + "\n"}},
            },
        },
    }
    return described


def _table(fields: Sequence[FieldSpec], example: Json) -> Json:
    """Describe the plainest of the tables that are read: columns in the fields' order, no quotes, no exponents."""
    header = ",".join(field.name.replace(".", r"\.") for field in fields)
    cells = ",".join(_cell_pattern(field, example[field.name]) for field in fields)
    with_ids = rf"{ID_COLUMN},{header}(\n[A-Za-z0-9._-]{{0,{MAX_ID_LENGTH}}},{cells})+"
    return {
        "type": "string",
        "description": f"A header row, then a row for each transaction; `{ID_COLUMN}` is optional, the order is free.",
        "pattern": rf"^({with_ids}|{header}(\n{cells})+)\n?$",
    }


def _cell_pattern(field: FieldSpec, example: float) -> str:
    """Return a pattern of numbers within the range of `field`: by their digits, or the example where none will do."""
    if field.if_missing is not None:
        return f"({_cell_pattern(field.model_copy(update={'if_missing': None}), example)})?"
    n_digits = min(9, len(str(int(field.maximum))) - 1)
    if field.minimum > 0 or n_digits == 0:
        return re.escape(str(example)).replace(r"\-", "-")
    sign = "-?" if field.minimum <= -(10**n_digits) else ""
    return rf"{sign}(0|[1-9][0-9]{{0,{n_digits - 1}}})(\.[0-9]{{1,20}})?"


_SCORING = (400, 401, 403, 408, 413, 415, 422, 429, 431, 502, 503, 504)


def _object_form(schema: TransactionSchema) -> Json:
    form = schema.model.model_json_schema(by_alias=True)
    return {**form, "title": "Transaction as an object", "description": "One value by name for each field."}


def _vector_form(schema: TransactionSchema) -> Json:
    form = schema.model.model_json_schema(by_alias=True)["properties"]
    return {
        "title": "Transaction as a vector",
        "description": f"The values in the order {', '.join(schema.names)}.",
        "type": "object",
        "additionalProperties": False,
        "required": ["features"],
        "properties": {
            ID_COLUMN: form[ID_COLUMN],
            "features": {
                "type": "array",
                "minItems": len(schema.names),
                "maxItems": len(schema.names),
                "prefixItems": [form[name] for name in schema.names],
                "items": False,
            },
        },
    }


def _prediction() -> Json:
    return {
        "type": "object",
        "required": ["transaction_id", "fraud_score", "decision"],
        "properties": {
            "transaction_id": {"type": ["string", "null"], "maxLength": MAX_ID_LENGTH},
            "fraud_score": {"type": "number", "minimum": 0, "maximum": 1},
            "decision": {"enum": ["approve", "review", "decline"]},
            "reasons": reasons_schema(),
            "degraded": {"const": True, "description": "There when the fallback answered for the endpoint."},
        },
    }


def _model(bundle: Bundle) -> Json:
    rule = type(bundle.manifest.thresholds).model_json_schema()
    rule["properties"]["kind"].pop("default", None)  # a reply always names it
    rule["required"] = list(rule["properties"])
    text, number = {"type": "string"}, {"type": "number"}
    properties: Json = {
        **dict.fromkeys(("name", "model_version", "bundle_sha256", "scorer"), text),
        "fields": {"type": "array", "items": {"type": "object"}},
        "features": {"type": "array", "items": text},
        "thresholds": rule,
        "prevalence": number,
        "holdout": {"type": "object"},
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _examples(bundle: Bundle) -> list[Json]:
    """Return the least and the most suspicious of the golden transactions, which are simulated."""
    ranked = sorted(zip(bundle.golden.fraud_scores, bundle.golden.transactions, strict=True), key=lambda pair: pair[0])
    return [{ID_COLUMN: f"t-{i}", **case} for i, (_, case) in enumerate((ranked[0], ranked[-1]), 1)]


def _status(value: str, **more: Json) -> Json:
    return {
        "type": "object",
        "required": ["status", *more],
        "properties": {"status": {"const": value}, **more},
    }
