"""Write events/api_*.json: the sample requests of events/ as API Gateway and ALB hand them to Lambda.

    python scripts/lambda_events.py

To be run when the sample requests have changed; a test says so.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).resolve().parent.parent / "events"
KEY = json.loads((EVENTS / "local-env.json").read_text(encoding="utf-8"))["ApiFunction"]["API_KEY"]
"""What `sam local` is told to accept; no key of anything that runs elsewhere."""
JSON, CSV = "application/json", "text/csv"
STAGE = "v1"
REQUEST_ID = "5f0c1a7e-8a1e-4c33-9d0e-3c1f6a2b7d10"
TRACE = "Root=1-67a1b2c3-0123456789abcdef01234567"
TIME, EPOCH = "23/Nov/2026:10:00:00 +0000", 1_795_428_000_000
ACCOUNT, SOURCE_IP, AGENT = "123456789012", "192.0.2.1", "curl/8.5.0"

Event = dict[str, Any]


def lambda_events() -> dict[str, Event]:
    """Return file name -> event."""
    fraud, legitimate, batch, table = map(
        _sample, ("predict_fraud.json", "predict_legitimate.json", "batch.json", "batch.csv")
    )
    return {
        "api_rest_predict_fraud.json": rest("POST", "/predict", fraud),
        "api_rest_predict_explained.json": rest("POST", "/predict", fraud, query={"explain": "true"}),
        "api_rest_predict_legitimate.json": rest("POST", "/predict", legitimate),
        "api_rest_batch.json": rest("POST", "/predict/batch", batch),
        "api_rest_batch_csv.json": rest("POST", "/predict/batch", table, CSV),
        "api_rest_health.json": rest("GET", "/health"),
        "api_http_predict_fraud.json": http("POST", "/predict", fraud),
        "api_http_predict_explained.json": http("POST", "/predict", fraud, query="explain=true"),
        "api_http_batch_csv.json": http("POST", "/predict/batch", table, CSV),
        "api_alb_predict_fraud.json": alb("POST", "/predict", fraud),
        "api_warmup.json": {"warmup": True},
    }


def rest(
    method: str, path: str, body: bytes = b"", media_type: str = JSON, query: dict[str, str] | None = None
) -> Event:
    """Return the event of a REST API whose media types are all binary, as template.yaml has it."""
    headers = _headers(body, media_type, host="abcdefghij.execute-api.eu-west-1.amazonaws.com")
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": query and {name: [value] for name, value in query.items()},
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.eu-west-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "extendedRequestId": "AbCdEfGhIjKlMnO=",
            "httpMethod": method,
            "identity": {"apiKey": None, "sourceIp": SOURCE_IP, "userAgent": AGENT},
            "path": f"/{STAGE}{path}",
            "protocol": "HTTP/1.1",
            "requestId": REQUEST_ID,
            "requestTime": TIME,
            "requestTimeEpoch": EPOCH,
            "resourceId": "abc123",
            "resourcePath": "/{proxy+}",
            "stage": STAGE,
        },
        "body": base64.b64encode(body).decode() if body else None,
        "isBase64Encoded": bool(body),
    }


def http(method: str, path: str, body: bytes = b"", media_type: str = JSON, query: str = "") -> Event:
    """Return the event of an HTTP API, payload format 2.0, which sends text types as text."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {
            name.lower(): value
            for name, value in _headers(body, media_type, "abcdefghij.execute-api.eu-west-1.amazonaws.com").items()
        },
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.eu-west-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": SOURCE_IP,
                "userAgent": AGENT,
            },
            "requestId": "AbCdEfGhIjKlMnO=",
            "routeKey": "$default",
            "stage": "$default",
            "time": TIME,
            "timeEpoch": EPOCH,
        },
        "body": body.decode() if body else None,
        "isBase64Encoded": False,
    }


def alb(method: str, path: str, body: bytes = b"", media_type: str = JSON) -> Event:
    """Return the event of an ALB."""
    group = f"arn:aws:elasticloadbalancing:eu-west-1:{ACCOUNT}:targetgroup/fraud-scoring/0123456789abcdef"
    headers = _headers(body, media_type, "fraud-scoring.eu-west-1.elb.amazonaws.com")
    return {
        "requestContext": {"elb": {"targetGroupArn": group}},
        "httpMethod": method,
        "path": path,
        "queryStringParameters": {},
        "headers": {name.lower(): value for name, value in headers.items()},
        "body": body.decode(),
        "isBase64Encoded": False,
    }


def _headers(body: bytes, media_type: str, host: str) -> dict[str, str]:
    content = {"Content-Length": str(len(body)), "Content-Type": media_type} if body else {}
    return {
        "Accept": "*/*",
        **content,
        "Host": host,
        "User-Agent": AGENT,
        "X-Amzn-Trace-Id": TRACE,
        "X-Forwarded-For": SOURCE_IP,
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        "x-api-key": KEY,
    }


def _sample(name: str) -> bytes:
    return (EVENTS / name).read_bytes()


def text_of(event: Event) -> str:
    return json.dumps(event, indent=2) + "\n"


def main() -> None:
    for name, event in lambda_events().items():
        (EVENTS / name).write_text(text_of(event), encoding="utf-8")


if __name__ == "__main__":
    main()
