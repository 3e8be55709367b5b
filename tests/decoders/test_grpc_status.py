"""The status of a gRPC call, from trailers or from the head alone (gRPC over HTTP/2, "Responses")."""

from __future__ import annotations

import pytest

from systrace.decoders.parts.grpc_status import CODES, grpc_status
from systrace.messages.http import HttpRequest, HttpResponse

Fields = list[tuple[str, str]]


def response(head: Fields, trailers: Fields | None) -> HttpResponse:
    made = HttpResponse("http2", "S1", "received", 1, 2, "", True, parsed=head, trailers=trailers)
    made.request = HttpRequest("http2", "S1", "sent", 0, 1, "", True, target="/pkg.Service/Call")
    return made


@pytest.mark.parametrize(
    ("head", "trailers", "number", "name", "text"),
    [
        ([], [("grpc-status", "0")], 0, "OK", ""),
        ([], [("grpc-status", "14"), ("grpc-message", "no%20backend")], 14, "UNAVAILABLE", "no backend"),
        ([("grpc-status", "7")], None, 7, "PERMISSION_DENIED", ""),  # trailers only: no body, one block of fields
        ([("grpc-status", "0")], [("grpc-status", "13")], 13, "INTERNAL", ""),  # the last word counts
        ([], [("grpc-status", "99")], 99, "code 99", ""),
    ],
)
def test_a_status(head: Fields, trailers: Fields | None, number: int, name: str, text: str) -> None:
    found = grpc_status(response(head, trailers))
    assert found is not None
    assert (found.code, found.name, found.text, found.method) == (number, name, text, "/pkg.Service/Call")
    assert found.summary.startswith("/pkg.Service/Call ")


@pytest.mark.parametrize("value", ["", "-1", "x", "123456", "1 "])
def test_what_is_no_status(value: str) -> None:
    assert grpc_status(response([], [("grpc-status", value)] if value else [])) is None


def test_bytes_of_a_message_are_inert() -> None:
    found = grpc_status(response([], [("grpc-status", "2"), ("grpc-message", "%1B[2J%FF%00")]))
    assert found is not None
    assert found.text.isprintable()


def test_the_codes_are_those_of_the_specification() -> None:
    assert len(CODES) == 17
    assert CODES[4] == "DEADLINE_EXCEEDED"
