"""What is hidden, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.masking.fields import secret_spans, within
from systrace.masking.masks import Masks


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic am9lOlNFQ1JFVA==SECRET\r\n",
        "GET / HTTP/1.1\r\nproxy-authorization: NTLM SECRET\r\n",
        "Cookie: a=1; sid=SECRET\r\nHost: x\r\n",
        "set-cookie: sid=SECRET; Path=/\r\n folded=SECRET\r\n",
        "X-Api-Key: SECRET\r\n",
        "user=joe&password=SECRET&go=1",
        "/v1?access_token=SECRET#top",
        '{"user": "joe", "password": "SECRET"}',
        '{"clientSecret" : "SEC\\"SECRET", "pin_token": SECRET}',
        r'"{\"api_key\":\"SECRET\"}"',
        "<wsse:Password Type='x'>SECRET</wsse:Password>",
        'Content-Disposition: form-data; name="password"\r\n\r\nSECRET\r\n--b',
        "USER joe\r\nPASS SECRET\r\n",
        "a1 LOGIN joe SECRET\r\n",
        "AUTH PLAIN SECRET\r\n",
        "AUTH LOGIN x\r\nSECRET==\r\nSECRETTT\r\nMAIL FROM:<a>\r\n",
        "*2\r\n$4\r\nAUTH\r\n$6\r\nSECRET\r\n",
        "https://joe:SECRET@example.com/",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOSECRET.SECRET",
        "-----BEGIN RSA PRIVATE KEY-----\nSECRET\n-----END RSA PRIVATE KEY-----",
        "p\0\0\0\x0bSECRET\0",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    shown = Masks().data(text.encode()).decode()
    assert "SECRET" not in shown
    assert len(shown) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "GET /orders?page=2 HTTP/1.1\r\nHost: api.example\r\nAccept: */*\r\n",
        '{"rows": [1, 2], "compass": "north"}',
        "SELECT password FROM users",
        "220 mail.example ESMTP ready\r\n250 AUTH PLAIN\r\n",
    ],
)
def test_the_rest_is_shown(text: str) -> None:
    assert Masks().text(text) == text


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 200))
def test_parts_of_spans_fit_the_whole(noise: bytes, one: int, other: int) -> None:
    data = b"password=abcdefgh&" + noise + b"\r\nCookie: x\r\n"
    spans = secret_spans(data)
    hidden = {at for start, end in spans for at in range(start, end)}
    start, end = min(one, other, len(data)), min(max(one, other), len(data))
    parts = within(spans, start, end)
    assert {start + at for low, high in parts for at in range(low, high)} == {h for h in hidden if start <= h < end}
    assert all(low < high for low, high in parts)


@given(
    st.lists(st.sampled_from([b"password", b"=", b"token", b": ", b"\r\n", b'"', b"\\", b"<", b">", b"AUTH ", b"a"]))
)
def test_masking_never_raises_and_keeps_the_length(words: list[bytes]) -> None:
    data = b"".join(words)
    assert len(Masks().data(data)) == len(data)


def test_hostile_text_takes_linear_time() -> None:
    for piece in (
        b"password",
        b"a-",
        b'token":"\\',
        b"AUTH \r\n",
        b"://a:",
        b"Cookie: \r\n ",
        b'secret"\r\nx\r\n',
        b"<",
    ):
        secret_spans(piece * (200_000 // len(piece)))  # the test's time limit is the assertion
