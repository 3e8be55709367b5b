"""DNS messages, whole, cut and hostile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.decoders.protocols.dns import Dns
from systrace.messages.dns import DnsMessage
from systrace.model import Endpoint, Message, Socket

Talk = Callable[..., list[Message]]
Said = tuple[bool, bytes, int]

NAME = b"\x03api\x07example\0"
QUERY = bytes.fromhex("123401000001000000000000") + NAME + b"\0\x01\0\x01"


def reply(flags: str, *records: bytes, count: int | None = None, qtype: bytes = b"\0\x01") -> bytes:
    """An answer to the query above; `flags` as hex."""
    number = len(records) if count is None else count
    header = b"\x124" + bytes.fromhex(flags) + b"\0\x01" + number.to_bytes(2, "big") + bytes(4)
    return header + NAME + qtype + b"\0\x01" + b"".join(records)


def record(kind: int, data: bytes, name: bytes = b"\xc0\x0c") -> bytes:
    return name + kind.to_bytes(2, "big") + b"\0\x01\0\0\0\x3c" + len(data).to_bytes(2, "big") + data


A = record(1, bytes([192, 0, 2, 7]))
AAAA = record(28, bytes.fromhex("20010db8000000000000000000000001"))
CNAME = record(5, b"\x03www\xc0\x10")
SRV = record(33, b"\0\x01\0\x02\x01\xbb\x01a\0")
MX = record(15, b"\0\x0a\x04mail\xc0\x10")
TXT = record(16, b"\x05hello\x06 world")


def udp() -> Socket:
    return Socket("S1", "inet", "dgram", role="client", peer=Endpoint("inet", "192.0.2.53", 53))


def ask(talk: Talk, *said: Said, socket: Socket | None = None, step: int = 0) -> list[DnsMessage]:
    messages = talk(Dns, said, socket=socket or udp(), step=step)
    assert all(type(m) is DnsMessage for m in messages)
    return [m for m in messages if isinstance(m, DnsMessage)]


def test_a_query_and_its_answer(talk: Talk) -> None:
    query, answer = ask(talk, (True, QUERY, 0), (False, reply("8180", CNAME, A, AAAA), 0))
    assert (query.id, query.question, query.qtype, query.is_response) == (0x1234, "api.example", "A", False)
    assert (query.direction, query.summary, query.server) == ("sent", "A api.example?", "192.0.2.53:53")
    assert (answer.id, answer.rcode, answer.is_response, answer.cut) == (0x1234, "NOERROR", True, False)
    assert answer.answers == (
        ("api.example", "CNAME", "www.example"),
        ("api.example", "A", "192.0.2.7"),
        ("api.example", "AAAA", "2001:db8::1"),
    )
    assert answer.addresses == ("192.0.2.7", "2001:db8::1")


def test_other_records(talk: Talk) -> None:
    (answer,) = ask(talk, (False, reply("8580", SRV, MX, TXT), 0))
    assert [value for _, _, value in answer.answers] == ["1 2 443 a", "10 mail.example", "hello world"]
    assert answer.authoritative


@pytest.mark.parametrize(
    ("flags", "rcode", "truncated", "notable"),
    [
        ("8183", "NXDOMAIN", False, True),
        ("8182", "SERVFAIL", False, True),
        ("8185", "REFUSED", False, True),
        ("8380", "NOERROR", True, True),
        ("8180", "NOERROR", False, False),
    ],
)
def test_codes(flags: str, rcode: str, truncated: bool, notable: bool, talk: Talk) -> None:
    (answer,) = ask(talk, (False, reply(flags), 0))
    assert (answer.rcode, answer.truncated, answer.notable) == (rcode, truncated, notable)


@pytest.mark.parametrize("known", range(12, 80, 4))
def test_a_cut_answer_keeps_what_is_known(known: int, talk: Talk) -> None:
    data = reply("8180", A, AAAA)
    (answer,) = ask(talk, (False, data[:known], max(0, len(data) - known)))
    assert answer.rcode == "NOERROR"
    assert answer.cut == (known < len(data))
    assert answer.answer_count == 2
    if known >= 12 + len(NAME) + 4 + len(A):
        assert answer.addresses[0] == "192.0.2.7"
    if known >= 12 + len(NAME) + 4:
        assert (answer.question, answer.qtype) == ("api.example", "A")


@pytest.mark.parametrize("step", [0, 1, 3])
def test_tcp(step: int, talk: Talk) -> None:
    said = [(side, len(data).to_bytes(2, "big") + data, 0) for side, data in ((True, QUERY), (False, reply("8180", A)))]
    socket = Socket("S1", "inet", "stream", role="client")
    query, answer = ask(talk, *said, socket=socket, step=step)
    assert query.tcp
    assert answer.addresses == ("192.0.2.7",)


def test_a_tcp_answer_that_ends_early(talk: Talk) -> None:
    data = reply("8180", A, AAAA)
    (answer,) = ask(talk, (False, len(data).to_bytes(2, "big") + data[:-5], 0), socket=Socket("S1", "inet", "stream"))
    assert (answer.complete, answer.cut, answer.addresses) == (False, True, ("192.0.2.7",))


@pytest.mark.parametrize(
    ("client", "server", "least", "most"),
    [
        (QUERY, b"", 90, 100),
        (b"\0\x1d" + QUERY, b"", 90, 100),
        (QUERY, reply("8180", A), 90, 100),
        (QUERY[:20], b"", 40, 89),
        (reply("8180", A), b"", 0, 0),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"", 0, 0),
        (bytes.fromhex("16030102000100fc0303000000000000"), b"", 0, 0),
        (bytes(48), b"", 0, 0),
    ],
)
def test_it_is_recognised_by_content(client: bytes, server: bytes, least: int, most: int) -> None:
    assert least <= Dns.identify(client, server) <= most


def test_a_compression_loop_ends(talk: Talk) -> None:
    loop = bytes.fromhex("123481800001000100000000") + b"\xc0\x0c\0\x01\0\x01"
    (answer,) = ask(talk, (False, loop, 0))
    assert answer.cut
    assert answer.question == ""


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 120), st.booleans(), st.integers(0, 30))
def test_hostile_bytes_never_raise(talk: Talk, noise: bytes, at: int, client: bool, missing: int) -> None:
    whole = reply("8180", CNAME, A, SRV, MX, TXT)
    data = whole[:at] + noise + whole[at + len(noise) :]
    for message in ask(talk, (client, data, missing)):
        assert message.summary.isprintable()
    ask(talk, (client, data, missing), socket=Socket("S1", "inet", "stream"))
