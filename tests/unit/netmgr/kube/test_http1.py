"""Bytes and what they mean, however they are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmgr.kube.http1 import MalformedError, ReplyParser, render

ANSWERS: list[tuple[bytes, int, bytes, bool]] = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", True),
    (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", 200, b"", True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n", 200, b"hello!", True),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nTrailer: a\r\n\r\n", 200, b"0123456789", True),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}", 409, b"{}", True),
    (b"HTTP/1.1 500 \r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", 500, b"{}", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
]


def fed(pieces: list[bytes]) -> ReplyParser:
    parser = ReplyParser()
    for piece in pieces:
        parser.feed(piece)
    return parser


@pytest.mark.parametrize(("raw", "status", "body", "reusable"), ANSWERS)
@given(cuts=st.lists(st.integers(0, 120), max_size=6))
def test_an_answer_is_the_same_however_it_is_cut(raw: bytes, status: int, body: bytes, reusable: bool, cuts: list[int]) -> None:
    ends = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})

    parser = fed([raw[start:end] for start, end in pairwise(ends)])

    assert (parser.status, b"".join(parser.pieces), parser.done, parser.reusable) == (status, body, True, reusable)


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    parser = fed([b"HTTP/1.1 502 Bad Gateway\r\n\r\nno ", b"server"])
    before = parser.done

    parser.end()

    assert (before, parser.done, b"".join(parser.pieces), parser.reusable) == (False, True, b"no server", False)


def test_a_chunk_is_handed_on_before_the_next_one_comes() -> None:
    parser = fed([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nevent"])

    assert (list(parser.pieces), parser.done) == ([b"event"], False)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"",
    ],
)
def test_an_answer_that_ends_too_early_is_an_error(raw: bytes) -> None:
    parser = fed([raw])

    with pytest.raises(MalformedError):
        parser.end()


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 2000,
        b"H" * 70000,
    ],
)
def test_what_is_no_http_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        fed([raw])


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_a_refusal(garbage: bytes) -> None:
    parser = ReplyParser()
    try:
        parser.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + garbage)
        parser.end()
    except MalformedError:
        return
    assert parser.done


def test_bytes_behind_an_answer_spoil_the_connection() -> None:
    assert not fed([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"]).reusable


def test_a_header_cannot_carry_another_line() -> None:
    with pytest.raises(ValueError, match="line end"):
        render("GET", "/", "host", {"Authorization": "Bearer a\r\nX: y"}, None)


def test_a_request_says_how_long_its_body_is() -> None:
    assert render("POST", "/x", "h:1", {"A": "b"}, b"{}") == b"POST /x HTTP/1.1\r\nHost: h:1\r\nA: b\r\nContent-Length: 2\r\n\r\n{}"
