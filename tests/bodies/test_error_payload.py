"""Well-formed answers that say that something failed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.bodies.error_payload import ErrorPayload, error_payload
from systrace.messages.body import Body

Make = Callable[..., Body]

SOAP = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode>'
    b"<faultstring>No such order</faultstring></s:Fault></s:Body></s:Envelope>"
)
S3 = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>'


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"error": "boom"}', ErrorPayload("json", "", "boom")),
        (b'{"error": {"code": 403, "message": "denied"}}', ErrorPayload("json", "403", "denied")),
        (
            b'{"error": "invalid_grant", "error_description": "Expired"}',
            ErrorPayload("json", "invalid_grant", "Expired"),
        ),
        (b'{"errors": [{"message": "no field x"}], "data": null}', ErrorPayload("json", "", "no field x")),
        (b'{"success": false, "message": "no"}', ErrorPayload("json", "", "no")),
        (b'{"status": "error", "message": "bad"}', ErrorPayload("json", "error", "bad")),
        (b'{"type": "about:blank", "title": "Gone", "status": 410}', ErrorPayload("json", "410", "Gone")),
        (b'{"__type": "ThrottlingException", "message": "slow"}', ErrorPayload("json", "ThrottlingException", "slow")),
        (S3, ErrorPayload("xml", "NoSuchKey", "The key does not exist.")),
        (
            b"<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>4</int></value></member>"
            b"<member><name>faultString</name><value><string>Too many</string></value></member></struct></value></fault>"
            b"</methodResponse>",
            ErrorPayload("xml", "4", "Too many"),
        ),
        (SOAP, ErrorPayload("soap", "s:Client", "No such order")),
        (b'{"error": null, "data": [1]}', None),
        (b'{"errors": [], "status": "ok"}', None),
        (b'{"error": {"code": 0, "message": "OK"}, "data": [1]}', None),
        (b'{"error": "none", "rows": 3}', None),
        (b'{"errors": {"count": 0, "items": []}}', None),
        (b'{"error": false, "rows": 3}', None),
        (b'{"error": true, "message": "full"}', ErrorPayload("json", "", "full")),
        (b'{"error": 7}', ErrorPayload("json", "7", "")),
        (b'{"message": "hello"}', None),
        (b'[{"error": "in an item"}]', None),
        (b"<list><error>in an item</error></list>", None),
        (b"plain text error", None),
    ],
)
def test_error_objects(data: bytes, expected: ErrorPayload | None, make: Make) -> None:
    assert error_payload(make(data)) == expected


def test_an_error_object_that_is_not_wholly_known_is_none(make: Make) -> None:
    assert error_payload(make(b'{"error": "boom"', missing=1)) is None


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("depth", [2, 400, 900, 5000])
def test_depth_is_no_danger(depth: int, opening: bytes, closing: bytes, make: Make) -> None:
    inner = opening * depth + b'"boom"' + closing * depth
    found = error_payload(make(b'{"error": ' + inner + b"}"))
    assert found is None or found.form == "json"
    if depth == 2:
        assert found is not None


@given(st.binary(max_size=300))
def test_hostile_bytes_never_raise(make: Make, data: bytes) -> None:
    found = error_payload(make(data))
    assert found is None or isinstance(found, ErrorPayload)
