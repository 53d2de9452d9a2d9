"""Bodies that are no JSON document of this service: 400, whatever they might have meant."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.contract.case import Case, Issue, batch, json_batch, json_object, predict, tokens
from tests.contract.rows import Rows


def document_cases(rows: Rows) -> Iterator[Case]:
    for name, body in (*_malformed(rows), *_bad_tokens(rows), *_encodings(rows), *_duplicate_keys(rows)):
        yield Case(f"json-{name}", predict(body), 400, "invalid_json")
    yield from _nested(rows)
    body = json_batch(["[" * 100_000 + "]" * 20_000])
    yield Case("json-hundred-thousand-brackets", batch(body), 400, "invalid_json")
    twice = json_object(tokens(rows.fraud)).replace("{", '{"transaction_id": "a", "transaction_id": "b", ', 1)
    yield Case("json-duplicate-key-at-depth-3", batch(json_batch([twice])), 400, "invalid_json")


def _malformed(rows: Rows) -> Iterator[tuple[str, bytes | str]]:
    good = json.dumps(rows.fraud)
    yield "empty-body", b""
    yield "blank-body", b" \r\n\t"
    yield "truncated", good[:-1]
    yield "cut-in-a-number", good[:40]
    yield "trailing-data", good + " {}"
    yield "trailing-comma", good[:-1] + ",}"
    yield "single-quotes", good.replace('"', "'")
    yield "comment", good + " // stolen card"
    yield "bare-word", "suspicious"
    yield "nul-byte-after", good.encode() + b"\x00"
    yield "raw-newline-in-a-string", good.replace("{", '{"transaction_id": "a\nb", ', 1)
    yield "bad-escape", good.replace("{", r'{"transaction_id": "\x41", ', 1)


def _bad_tokens(rows: Rows) -> Iterator[tuple[str, bytes | str]]:
    name = rows.names[1]
    for label, token in (
        ("nan", "NaN"),
        ("infinity", "Infinity"),
        ("negative-infinity", "-Infinity"),
        ("underscore", "1_000"),
        ("hexadecimal", "0x1F4A"),
        ("plus-sign", "+1.2345"),
        ("leading-zero", "012345"),
        ("no-digit-before-point", ".54321"),
        ("no-digit-after-point", "54321."),
        ("no-exponent", "12345e"),
        ("no-value", ""),
        ("python-true", "True"),
        ("401-digit-integer", "7" * 401),
        ("401-digit-negative-integer", "-" + "7" * 401),
        ("5000-digit-integer", "7" * 5000),
    ):
        yield label, json_object(tokens(rows.fraud, **{name: token}))
    vector = ["7.5"] * len(rows.names)
    yield "nan-in-a-vector", '{"features": [' + ", ".join([*vector[:-1], "NaN"]) + "]}"
    yield "401-digits-in-a-vector", '{"features": [' + ", ".join([*vector[:-1], "7" * 401]) + "]}"


def _encodings(rows: Rows) -> Iterator[tuple[str, bytes | str]]:
    good = json.dumps(rows.fraud)
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        yield encoding, good.encode(encoding)
    with_id = good.replace("{", '{"transaction_id": "carte-bleue", ', 1).encode()
    for label, replacement in (
        ("latin-1", b"carte-bl\xe9ue"),
        ("invalid-utf-8", b"carte\xff\xfebleue"),
        ("overlong-utf-8", b"carte\xc0\xafbleue"),
        ("encoded-surrogate", b"carte\xed\xa0\x80bleue"),
        ("cut-utf-8-sequence", b"carte\xf0\x9f\x92"),
        ("lone-surrogate-value", rb"carte\ud800bleue"),
        ("lone-low-surrogate-value", rb"carte\udc00bleue"),
    ):
        yield label, with_id.replace(b"carte-bleue", replacement)
    yield "lone-surrogate-key", good.replace("{", r'{"carte\ud800": 1, ', 1)
    yield "invalid-utf-8-key", good.encode().replace(b"{", b'{"carte\xff": 1, ', 1)


def _duplicate_keys(rows: Rows) -> Iterator[tuple[str, bytes | str]]:
    good, name = json.dumps(rows.fraud), rows.names[1]
    escaped = f"\\u{ord(name[0]):04x}{name[1:]}"
    yield "duplicate-key", good.replace("{", f'{{"{name}": 54321.5, ', 1)
    yield "duplicate-key-escaped", good.replace("{", f'{{"{escaped}": 54321.5, ', 1)
    yield "duplicate-unknown-key", good.replace("{", '{"4111111111111111": 1, "4111111111111111": 2, ', 1)
    yield "duplicate-key-of-equal-value", good.replace("{", f'{{"{name}": {rows.fraud[name]}, ', 1)


def _nested(rows: Rows) -> Iterator[Case]:
    for depth, status, code in ((16, 422, "invalid_request"), (17, 400, "invalid_json"), (150, 400, "invalid_json")):
        value = "[" * (depth - 1) + "]" * (depth - 1)
        body = json_object({**tokens(rows.fraud), "matryoshka": value})
        issues = (Issue(("body", "<unknown>"), "extra_forbidden"),) if status == 422 else None
        yield Case(f"json-depth-{depth}", predict(body), status, code, issues)
