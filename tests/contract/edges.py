"""What is judged before the body is: keys, media types, sizes, paths, verbs and request ids."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace

from tests.app_under_test import (
    ADMIN_KEY,
    BATCH_KEY,
    KEY,
    MAX_BATCH_BODY_BYTES,
    MAX_BATCH_ITEMS,
    MAX_BODY_BYTES,
    PREDICT_KEY,
)
from tests.contract.case import (
    CSV_TYPE,
    JSON_TYPE,
    KEY_HEADER,
    Case,
    Scored,
    batch,
    csv_table,
    json_batch,
    post,
    predict,
    table,
)
from tests.contract.exchange import Headers, Request
from tests.contract.rows import Rows

_KEY = KEY.encode()


def edge_cases(rows: Rows) -> Iterator[Case]:
    yield from _keys(rows)
    yield from _scopes(rows)
    yield from _keyless(rows)
    yield from _media_types(rows)
    yield from _sizes(rows)
    yield from _chunked_sizes()
    yield from _item_counts(rows)
    yield from _paths()
    yield from _verbs()
    yield from _open_routes(rows)
    yield from _request_ids()


def _keys(rows: Rows) -> Iterator[Case]:
    body = json.dumps(rows.fraud)
    for label, values in (
        ("absent", []),
        ("empty", [b""]),
        ("one-character-off", [_KEY[:-1] + bytes([_KEY[-1] ^ 1])]),
        ("one-character-short", [_KEY[:-1]]),
        ("one-character-more", [_KEY + b"0"]),
        ("in-capitals", [_KEY.upper()]),
        ("non-ascii", [b"\xff"]),
        ("non-ascii-at-the-end", [_KEY + b"\xff"]),
        ("10-kilobytes", [_KEY * (10_240 // len(_KEY))]),
        ("two-headers", [_KEY, _KEY]),
        ("two-headers-second-wrong", [_KEY, b"wrong-key"]),
        ("list-of-both", [_KEY + b"," + _KEY]),
        ("quoted", [b'"' + _KEY + b'"']),
        ("trailing-blank", [_KEY + b" "]),
        ("digest-of-the-key", [b"5" * 64]),
    ):
        headers: Headers = (*((b"x-api-key", value) for value in values), JSON_TYPE)
        # What is no key at all is not looked at further, so the body may be anything.
        yield _refused(f"key-{label}", predict(body, headers=headers))
    yield _refused("key-in-the-query", post(f"/predict?x-api-key={KEY}", body, headers=(JSON_TYPE,)))
    bearer: Headers = ((b"authorization", b"Bearer " + _KEY), JSON_TYPE)
    yield _refused("key-as-bearer-token", predict(body, headers=bearer))
    yield _refused("key-in-the-body", predict(json.dumps({"x-api-key": KEY}), headers=(JSON_TYPE,)))


def _scopes(rows: Rows) -> Iterator[Case]:
    row, single = rows.fraud, json.dumps(rows.fraud)
    for label, key, request in (
        ("batch-to-predict", BATCH_KEY, predict(single)),
        ("admin-to-predict", ADMIN_KEY, predict(single)),
        ("predict-to-batch", PREDICT_KEY, batch(json_batch([single]))),
        ("predict-to-csv", PREDICT_KEY, table("nonsense")),
        ("admin-to-batch", ADMIN_KEY, batch("")),
    ):
        yield Case(f"scope-{label}", _with_key(key, request), 403, "forbidden")
    yield Case("scope-predict", _with_key(PREDICT_KEY, predict(single)), 200, scored=(Scored(row),))
    yield Case("scope-batch", _with_key(BATCH_KEY, batch(json_batch([single]))), 200, scored=(Scored(row),))
    yield Case("scope-none-is-needed", _with_key(ADMIN_KEY, Request("GET", "/model")), 200)
    yield Case("scope-elsewhere", _with_key(ADMIN_KEY, Request("GET", "/no-such-path")), 404, "not_found")
    for label, sent in (("with-the-key", f"{PREDICT_KEY}:predict"), ("claimed", f"{PREDICT_KEY}:batch")):
        yield _refused(f"scope-{label}", _with_key(sent, predict(single)))


def _with_key(key: str, request: Request) -> Request:
    others = tuple(header for header in request.headers if header != KEY_HEADER)
    return replace(request, headers=((b"x-api-key", key.encode()), *others))


def _refused(name: str, request: Request, *, replaces_request_id: bool = False) -> Case:
    return Case(
        name,
        request,
        401,
        "unauthorized",
        headers={"www-authenticate": "ApiKey"},
        replaces_request_id=replaces_request_id,
    )


def _keyless(rows: Rows) -> Iterator[Case]:
    """Without a key nothing can be learnt of what is there."""
    for method, path in (
        ("POST", "/predict/batch"),
        ("GET", "/predict"),
        ("GET", "/model"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/no-such-path"),
        ("GET", "/"),
        ("POST", "/health/other"),
    ):
        name = f"keyless-{method.lower()}-{path.strip('/').replace('/', '-') or 'root'}"
        yield _refused(name, Request(method, path))
    oversized = (JSON_TYPE, (b"content-length", b"200000000"))
    yield _refused("keyless-oversized", predict("{", headers=oversized))


def _media_types(rows: Rows) -> Iterator[Case]:
    body = json.dumps(rows.fraud).encode()
    for label, content_type in (
        ("text", b"text/plain"),
        ("csv-to-predict", b"text/csv"),
        ("form", b"application/x-www-form-urlencoded"),
        ("multipart", b"multipart/form-data; boundary=x"),
        ("problem-json", b"application/problem+json"),
        ("json-as-text", b"text/json"),
        ("charset-latin-1", b"application/json; charset=latin-1"),
        ("charset-utf-16", b'application/json; charset="utf-16"'),
        ("two-charsets", b"application/json; charset=utf-8; charset=latin-1"),
        ("any", b"*/*"),
        ("empty", b""),
        ("non-ascii", b"application/json\xff"),
        ("extended-parameter-alone", b"charset*=utf-8''utf-8"),
    ):
        headers: Headers = (KEY_HEADER, (b"content-type", content_type))
        yield _unsupported(f"media-{label}", predict(body, headers=headers))
    yield _unsupported("media-none", predict(body, headers=(KEY_HEADER,)))
    yield _unsupported("media-none-and-no-body", predict(b"", headers=(KEY_HEADER,)))
    latin: Headers = (KEY_HEADER, (b"content-type", b"text/csv; charset=iso-8859-1"))
    yield _unsupported("media-csv-charset", batch(csv_table(rows.names, []), headers=latin))
    bomb = gzip.compress(b" " * 10_000_000, 9)
    for label, encoding, sent in (
        ("gzip", b"gzip", gzip.compress(body)),
        ("gzip-bomb", b"gzip", bomb),
        ("gzip-in-name-only", b"gzip", body),
        ("brotli", b"br", body),
        ("identity-and-gzip", b"identity, gzip", body),
    ):
        headers = (KEY_HEADER, JSON_TYPE, (b"content-encoding", encoding))
        yield _unsupported(f"encoding-{label}", predict(sent, headers=headers))


def _unsupported(name: str, request: Request) -> Case:
    return Case(name, request, 415, "unsupported_media_type")


def _sizes(rows: Rows) -> Iterator[Case]:
    row, single = rows.fraud, json.dumps(rows.fraud)
    csv_row = csv_table(["transaction_id", *rows.names], [["", *row.values()]])
    for target, document, limit, headers in (
        ("predict", single, MAX_BODY_BYTES, (KEY_HEADER, JSON_TYPE)),
        ("predict/batch", json_batch([single]), MAX_BATCH_BODY_BYTES, (KEY_HEADER, JSON_TYPE)),
    ):
        name = target.replace("predict/", "")
        for label, size in (("below-limit", limit - 1), ("at-limit", limit)):
            request = post(f"/{target}", document.ljust(size), headers=headers)
            yield Case(f"body-{name}-{label}", request, 200, scored=(Scored(row),))
        yield _too_large(f"body-{name}-above-limit", post(f"/{target}", document.ljust(limit + 1), headers=headers))
        far_above = post(f"/{target}", " " * 1_000_000, headers=headers)
        yield _too_large(f"body-{name}-far-above-limit", far_above)
    # CSV knows no padding: the last cell is quoted and open, so the size is judged first.
    yield _too_large("body-csv-above-limit", table(csv_row + '"' + "x" * MAX_BATCH_BODY_BYTES))
    yield _too_large("body-declared-200-megabytes", predict("{", headers=_declaring(b"200000000")))
    yield Case(
        "body-declared-5000-digits",
        predict("{", headers=_declaring(b"9" * 5000)),
        413,
        "payload_too_large",
        not_on={"uvicorn": "its HTTP parser refuses the length itself, with a text of its own"},
    )


def _declaring(length: bytes) -> Headers:
    return (KEY_HEADER, JSON_TYPE, (b"content-length", length))


def _chunked_sizes() -> Iterator[Case]:
    for target, headers, n_chunks in (
        ("predict", (KEY_HEADER, JSON_TYPE), 20),
        ("predict/batch", (KEY_HEADER, JSON_TYPE), 200),
        ("predict/batch", (KEY_HEADER, CSV_TYPE), 2000),
    ):
        request = Request("POST", f"/{target}", headers, chunks=(b" " * 1024,) * n_chunks)
        yield _too_large(f"body-chunked-{n_chunks}-kilobytes", request)


def _too_large(name: str, request: Request) -> Case:
    return Case(name, request, 413, "payload_too_large")


def _item_counts(rows: Rows) -> Iterator[Case]:
    one_more = rows.many(MAX_BATCH_ITEMS + 1)
    as_json = json_batch([json.dumps(row) for row in one_more])
    as_csv = csv_table(rows.names, [list(row.values()) for row in one_more])
    yield Case("batch-one-too-many", batch(as_json), 413, "too_many_items")
    yield Case("csv-one-too-many", table(as_csv), 413, "too_many_items")
    yield Case("batch-too-many-and-bad", batch(json_batch(["null"] * 10_000)), 413, "too_many_items")


def _paths() -> Iterator[Case]:
    for label, path in (
        ("root", "/"),
        ("trailing-slash", "/predict/"),
        ("other-case", "/PREDICT"),
        ("below-a-route", "/predict/batch/4111111111111111"),
        ("with-a-card-number", "/cards/4111111111111111"),
        ("encoded", "/%F0%9F%92%B3/%0d%0a"),
        ("dot-dot", "/../../etc/passwd"),
        ("redoc", "/redoc"),
        ("oauth2-redirect", "/docs/oauth2-redirect"),
        ("favicon", "/favicon.ico"),
    ):
        yield Case(f"path-{label}", Request("GET", path, (KEY_HEADER,)), 404, "not_found")


def _verbs() -> Iterator[Case]:
    reading, writing = ("GET, HEAD", "POST")
    for path, allowed in (
        ("/predict", writing),
        ("/predict/batch", writing),
        ("/model", reading),
        ("/health", reading),
        ("/health/ready", reading),
        ("/docs", reading),
        ("/openapi.json", reading),
    ):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            if method in allowed.split(", "):
                continue
            name = f"verb-{method.lower()}-{path.strip('/').replace('/', '-')}"
            request = Request(method, path, (KEY_HEADER,))
            yield Case(name, request, 405, "method_not_allowed", headers={"allow": allowed})
    yield Case("verb-of-webdav", Request("PROPFIND", "/predict", (KEY_HEADER,)), 405, "method_not_allowed")


def _open_routes(rows: Rows) -> Iterator[Case]:
    yield Case("health", Request("GET", "/health"), 200, body={"status": "ok"})
    yield Case("health-with-a-wrong-key", Request("GET", "/health", ((b"x-api-key", b"wrong"),)), 200)
    yield Case("health-with-a-query", Request("GET", "/health?card=4111111111111111"), 200, body={"status": "ok"})
    yield Case("health-head", Request("HEAD", "/health"), 200)
    ready = {"status": "ready", "model_version": rows.version}
    yield Case("ready", Request("GET", "/health/ready"), 200, body=ready)
    yield Case("model", Request("GET", "/model", (KEY_HEADER,)), 200)
    yield Case("model-head", Request("HEAD", "/model", (KEY_HEADER,)), 200)


def _request_ids() -> Iterator[Case]:
    for label, offered in (
        ("64-characters", b"Az09._-" + b"r" * 57),
        ("one-character", b"."),
    ):
        yield Case(f"request-id-{label}", Request("GET", "/health", ((b"x-request-id", offered),)), 200)
    for label, values in (
        ("65-characters", [b"r" * 65]),
        ("10-kilobytes", [b"r" * 10_240]),
        ("with-a-blank", [b"id with blanks"]),
        ("non-ascii", [b"id-\xe9"]),
        ("json", [b'{"level":"x"}']),
        ("empty", [b""]),
        ("two", [b"first-id", b"second-id"]),
        ("absent", []),
    ):
        headers: Headers = tuple((b"x-request-id", value) for value in values)
        name = f"request-id-{label}"
        yield Case(name, Request("GET", "/health", headers), 200, replaces_request_id=True)
        yield _refused(f"{name}-without-key", Request("GET", "/model", headers), replaces_request_id=True)
