"""What was due, and what came instead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.bodies.expectations import Wrong, unannounced_compression, wrong_kind
from systrace.messages.body import Body
from systrace.messages.http import HttpRequest, HttpResponse

Make = Callable[..., Body]


def response(body: Body, accept: str = "", target: str = "/x", content_type: str = "") -> HttpResponse:
    request = HttpRequest("http", "S1", "sent", None, None, "", True)
    request.head = f"GET {target} HTTP/1.1\r\nAccept: {accept}\r\n\r\n".encode()
    request.target = target
    answer = HttpResponse("http", "S1", "received", None, None, "", True)
    answer.head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n".encode()
    answer.body, answer.request = body, request
    return answer


PAGE = b"<!DOCTYPE html><html><title>x</title>"


@pytest.mark.parametrize(
    ("data", "accept", "target", "content_type", "expected"),
    [
        (PAGE, "application/json", "/x", "text/html", Wrong("json", "accept", "html")),
        (PAGE, "*/*", "/data.json?x", "text/html", Wrong("json", "path", "html")),
        (PAGE, "*/*", "/x", "application/json; charset=utf-8", Wrong("json", "content-type", "html")),
        (PAGE, "*/*", "/x", "text/html", None),
        (
            PAGE,
            "*/*",
            "/a.git/info/refs?service=git-upload-pack",
            "text/html",
            Wrong("a git reference list", "request", "html"),
        ),
        (b"001e# service=git-upload-pack\n0000", "*/*", "/a.git/info/refs?service=git-upload-pack", "", None),
        (PAGE, "text/html,application/json", "/x", "text/html", None),
        (b'{"a": 1}', "application/json", "/x", "application/json", None),
        (b"oops", "application/json", "/x", "", Wrong("json", "accept", "text")),
        (b"\x1f\x8b\x08\0", "", "/x", "application/json", Wrong("json", "content-type", "gzip")),
        (b"a;b\n1;2\n", "text/csv", "/x", "", None),
        (b"<a/>", "", "/f.csv", "", Wrong("csv", "path", "xml")),
    ],
)
def test_what_was_due(
    data: bytes, accept: str, target: str, content_type: str, expected: Wrong | None, make: Make
) -> None:
    assert wrong_kind(response(make(data), accept, target, content_type)) == expected


@pytest.mark.parametrize(
    ("target", "field", "expected"),
    [
        ("/bucket?list-type=2&prefix=x", "x-amz-content-sha256: UNSIGNED", Wrong("xml", "request", "html")),
        ("/bucket/key", "x-amz-content-sha256: UNSIGNED", None),
        ("/", "X-Amz-Target: DynamoDB_20120810.Query", Wrong("json", "request", "html")),
        ("/ws", 'SOAPAction: "order"', Wrong("xml", "request", "html")),
        ("/api", "Content-Type: application/json", Wrong("json", "request", "html")),
        ("/page?location=here", "X: y", None),
    ],
)
def test_what_the_request_itself_tells(target: str, field: str, expected: Wrong | None, make: Make) -> None:
    answer = response(make(PAGE), "*/*", target, "text/html")
    assert answer.request is not None
    answer.request.head = f"POST {target} HTTP/1.1\r\n{field}\r\n\r\n".encode()
    assert wrong_kind(answer) == expected


def test_compression_that_nobody_announced(make: Make) -> None:
    packed = b"\x1f\x8b\x08\0rest"
    assert unannounced_compression(response(make(packed), content_type="application/json")) == "gzip"
    assert unannounced_compression(response(make(packed), content_type="application/gzip")) is None
    assert unannounced_compression(response(make(packed), target="/dump.sql.gz")) is None
    assert unannounced_compression(response(make(b"{}"))) is None
