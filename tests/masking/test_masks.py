"""Masks keep lengths, are the same for the same secret, and take linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.masking.argv import argument_spans
from systrace.masking.fields import secret_spans
from systrace.masking.logins import login_spans
from systrace.masking.masks import Masks
from systrace.masking.traced import Escaped
from tests.masking.planted import PLANTS, escaped


def test_the_same_secret_has_the_same_mask() -> None:
    shown = Masks().text("GET /a?token=abcdefghijkl then token=mnopqrstuvwx then token=abcdefghijkl")
    assert shown == "GET /a?token=*secret-1*** then token=*secret-2*** then token=*secret-1***"


@pytest.mark.parametrize("secret", ["SECRET12", 'SEC\\"RET', "\\303\\244SECRET"])
def test_in_straces_strings(secret: str) -> None:
    line = f'sendto(3, "POST / HTTP/1.1\\r\\n\\r\\n{{\\"password\\":\\"{secret}\\"}}", 50, 0, NULL, 0) = 50'
    shown = Masks().text(line)
    assert "SEC" not in shown
    assert shown.startswith('sendto(3, "POST / HTTP/1.1\\r\\n\\r\\n{\\"password\\":\\"*')
    assert shown.endswith('\\"}", 50, 0, NULL, 0) = 50')


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        ("curl -u joe:SECRET12 x", "curl -u joe:*1****** x"),
        ("mysql -pSECRET12 -u root", "mysql -p*1****** -u root"),
        ("mkdir -p SECRET12", "mkdir -p SECRET12"),
        ("psql -p 5432", "psql -p 5432"),
        ("tool --password-file /etc/x", "tool --password-file /etc/x"),
        ("env PGPASSWORD=SECRET12 psql", "env PGPASSWORD=*1****** psql"),
    ],
)
def test_arguments(argv: str, shown: str) -> None:
    assert Masks().words(argv.split()) == shown.split()


def test_what_is_known_is_masked_elsewhere() -> None:
    masks = Masks()
    masks.learn(b"Authorization: Basic am9lOnNla3JpdDEyMw==\r\n")
    assert masks.text("bad password sekrit123!") == "bad password *1*******!"
    assert masks.text("sekrit1234 is another") == "sekrit1234 is another"


PIECES = [
    b'"',
    b"\\",
    b"\\n",
    b"password",
    b"=",
    b": ",
    b"\0",
    b"\x60",
    b"\x02\x01\x03\x04",
    b"\0\x04MQTT\x04\xff\0\0",
    b"\x05\x01\x02",
]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6))))
def test_nothing_raises_and_lengths_stay(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    assert len(Masks().data(data)) == len(data)
    assert Escaped(escaped(data).encode()).data == data
    masked = Masks().line(b'write(1, "' + escaped(data).encode() + b'", 5) = 5')
    assert masked.endswith(b"5) = 5") or b"password" in data
    Masks().text(data.decode("utf-8", "surrogateescape"))
    assert all(0 <= start < end <= len(data) for start, end in secret_spans(data))
    assert all(0 <= start <= end <= len(data) for start, end in login_spans(data))
    assert len(argument_spans(pieces)) == len(pieces)


@given(st.text())
def test_text_of_any_kind(text: str) -> None:
    assert isinstance(Masks().text(text + " password=abcdefgh"), str)


@pytest.mark.parametrize(
    "piece",
    [b"password", b"a-", b'token":"\\', b"AUTH PLAIN \r\n", b"://a:", b'"', b"\\0", b"\0a\0b", b"\0\0\0", b"-p x ", b"p=",
     b"\x02\x01\x03\x04",
     b"\x60\x02\x01\x03\x04\x01", b"password -u a:", b"IDENTIFIED ", b'["', b"SETUSER a "],
)  # fmt: skip
def test_linear_time(piece: bytes) -> None:
    """Eight times the text takes about eight times as long: not 64 times."""

    def took(size: int) -> float:
        text = piece * (size // len(piece))
        best = 9.0
        for _ in range(3):
            start = time.process_time()
            Masks().line(text)
            best = min(best, time.process_time() - start)
        return best

    assert took(64_000) < 24 * max(took(8_000), 0.002)


def test_many_secrets_that_begin_alike() -> None:
    masks = Masks()
    values = [b"a" * size for size in range(5, 200)] + [b"key%04d" % number for number in range(1500)]
    for value in values:
        masks.note(value)
    assert masks.known(b"x aaaaaaa key0007 aaaaaa key00077 y") == [(2, 9), (10, 17), (18, 24)]


def test_plants_have_every_kind() -> None:
    assert {protocol for protocol, _ in PLANTS.sent} > {
        "smtp",
        "ftp",
        "pop",
        "imap",
        "redis",
        "pg",
        "mysql",
        "amqp",
        "ldap",
        "mqtt",
        "kafka",
    }
