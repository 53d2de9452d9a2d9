"""Cutting text into chunks: the same chunks however the bytes arrive, and memory that no file makes grow."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import JobFailedError
from core.jobs.formats.base import ChunkLimits
from core.jobs.formats.lines import BLOCK_BYTES, check_start, cut_lines, gunzip, lines_of, split_head

LIMITS = ChunkLimits(rows=3, n_bytes=40, line_bytes=12)


def in_blocks(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[start : start + size] for start in range(0, len(raw), size))


def expected_chunks(raw: bytes) -> list[bytes]:
    """Cut line by line, as slowly as can be."""
    chunks, held = [], b""
    lines = raw.split(b"\n")
    for index, line in enumerate(lines):
        is_last = index == len(lines) - 1
        if is_last and not line:
            break
        held += line[: LIMITS.line_bytes + 1] + (b"" if is_last else b"\n")
        if not is_last and (held.count(b"\n") == LIMITS.rows or len(held) >= LIMITS.n_bytes):
            chunks.append(held)
            held = b""
    return [*chunks, held] if held else chunks


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=30), st.booleans(),
       st.integers(1, 64))  # fmt: skip
def test_cut_lines_gives_the_same_chunks_however_the_bytes_arrive(lines: list[bytes], ends: bool, size: int) -> None:
    raw = b"\n".join(lines) + (b"\n" if ends else b"")

    assert list(cut_lines(in_blocks(raw, size), LIMITS)) == expected_chunks(raw)


def test_cut_lines_of_one_huge_line_holds_no_more_than_its_beginning() -> None:
    limits = ChunkLimits(line_bytes=1000)
    block = b"x" * BLOCK_BYTES
    tracemalloc.start()
    chunks = list(cut_lines((block for _ in range(64)), limits))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert chunks == [b"x" * 1001]
    assert peak < 8 * BLOCK_BYTES


@pytest.mark.parametrize(("payload", "lines"), [
    (b"", []), (b"a", [b"a"]), (b"a\n", [b"a"]), (b"a\r\nb\nc\r\n", [b"a", b"b", b"c"]), (b"\n\n", [b"", b""]),
])  # fmt: skip
def test_lines_of_ends_lines_of_either_kind(payload: bytes, lines: list[bytes]) -> None:
    assert lines_of(payload) == (lines if payload else [b""])


@pytest.mark.parametrize("size", [1, 7, BLOCK_BYTES])
def test_gunzip_reads_members_one_after_the_other(size: int) -> None:
    text = random.Random(1).randbytes(20_000).hex().encode()
    raw = gzip.compress(text[:9000]) + gzip.compress(b"") + gzip.compress(text[9000:])

    assert b"".join(gunzip(in_blocks(raw, size))) == text


def test_gunzip_of_output_that_ends_with_a_block_is_whole() -> None:
    text = bytes(2 * BLOCK_BYTES)

    assert b"".join(gunzip([gzip.compress(text)])) == text


@pytest.mark.parametrize(("raw", "code"), [
    (gzip.compress(b"a,b\n1,2\n")[:-5], "input_truncated"),
    (gzip.compress(b"a,b\n1,2\n")[:4], "input_truncated"),
    (gzip.compress(b"a,b\n1,2\n") + b"more", "invalid_gzip"),
    (gzip.compress(b"a,b\n1,2\n")[:-8] + bytes(8), "invalid_gzip"),
    (b"a,b\n1,2\n", "invalid_gzip"),
])  # fmt: skip
def test_gunzip_of_what_is_no_whole_gzip_file_fails_by_its_code(raw: bytes, code: str) -> None:
    with pytest.raises(JobFailedError) as raised:
        list(gunzip([raw]))

    assert raised.value.job_code == code


def test_gunzip_of_a_bomb_stops_long_before_its_end() -> None:
    bomb = zlib.compressobj(wbits=31)
    raw = b"".join([*(bomb.compress(bytes(1 << 24)) for _ in range(64)), bomb.flush()])  # 1 GiB of nothing
    n_out = 0
    with pytest.raises(JobFailedError) as raised:
        for block in gunzip([raw]):
            assert len(block) <= BLOCK_BYTES
            n_out += len(block)

    assert raised.value.job_code == "expansion_limit"
    assert n_out < 1 << 29


@pytest.mark.parametrize(("start", "code"), [
    (b"", "empty_input"), (b"\xef\xbb\xbfa,b", "byte_order_mark"), (b"\xff\xfea\0", "wrong_encoding"),
    (b"a\0,\0b\0", "wrong_encoding"), (b"PAR1\x15", "wrong_format"), (b"\x1f\x8b\x08", "wrong_format"),
])  # fmt: skip
def test_start_of_what_is_no_plain_text_is_named(start: bytes, code: str) -> None:
    with pytest.raises(JobFailedError) as raised:
        check_start(start)

    assert raised.value.job_code == code


@pytest.mark.parametrize("size", [1, 5, 100])
def test_split_head_leaves_the_rest_as_it_was(size: int) -> None:
    head, rest = split_head(in_blocks(b"a,b\r\n1,2\n3,4\n", size), 100)

    assert (head, b"".join(rest)) == (b"a,b", b"1,2\n3,4\n")


def test_split_head_of_a_file_without_lines_fails() -> None:
    with pytest.raises(JobFailedError) as raised:
        split_head(in_blocks(b"a" * 500, 50), 100)

    assert raised.value.job_code == "line_too_long"
