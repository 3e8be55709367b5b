"""dnsmasq, asked by dig over UDP and TCP."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from systrace.decoders import DECODERS
from systrace.messages.dns import DnsMessage
from systrace.messages.piece import Piece
from systrace.model import RETURNED, Received, Record, Sent, Socket
from tests.decoders.relay import LIMIT_S, Relay, Said
from tests.decoders.servers import decoded, directory, free_port, needs, record, run, serving

pytestmark = [pytest.mark.real, needs("dnsmasq", "dig")]


class DatagramRelay:
    """Passes datagrams of one client at a time on to `target`, and their answers back."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._here.bind(("127.0.0.1", 0))
        self.port: int = self._here.getsockname()[1]
        self.said: Said = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(LIMIT_S)
        self._here.close()

    def _serve(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
            there.settimeout(LIMIT_S)
            while True:
                query, client = self._here.recvfrom(65536)
                if not query:
                    return
                there.sendto(query, ("127.0.0.1", self._target))
                answer = there.recv(65536)
                self.said += [(True, query, 0), (False, answer, 0)]
                self._here.sendto(answer, client)


@pytest.fixture(name="dnsmasq", scope="module")
def start_dnsmasq() -> Iterator[int]:
    """A name server that knows a few names and asks nobody else."""
    with directory() as home:
        port = free_port()
        many = "".join(f"host-record=many.example,10.9.{n // 250}.{n % 250 + 1}\n" for n in range(120))
        Path(home, "conf").write_text(
            f"port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nno-daemon\nuser=root\n"
            f"pid-file={home}/pid\nlocal=/example/\nhost-record=api.example,192.0.2.7,2001:db8::7\n"
            "cname=www.example,api.example\nmx-host=example,mail.example,10\ntxt-record=note.example,all is well\n"
            "srv-host=_ldap._tcp.example,api.example,389\nptr-record=7.2.0.192.in-addr.arpa,api.example\n" + many
        )
        with serving(["dnsmasq", "-C", f"{home}/conf"], port, home / "log"):
            yield port


def dig(port: int, name: str, kind: str, *options: str) -> str:
    """What dig prints."""
    return run("dig", "@127.0.0.1", "-p", str(port), "+tries=1", "+timeout=5", *options, name, kind).stdout


def datagrams(said: Said, keep: int | None = None) -> list[DnsMessage]:
    """The messages of a recorded conversation over UDP."""
    decoder = DECODERS["dns"](Socket("S1", "inet", "dgram", role="client"))
    found = []
    for client, data, _ in said:
        line = Record(0, 1, 1, 1_000, 10, "sendto" if client else "recvfrom", b"", len(data), None, RETURNED, b"")
        payload = [(data[:keep], len(data))]
        event = (Sent if client else Received)(line, 3, len(data), b"", None, lambda _, p=payload: p)  # type: ignore[misc]
        found += list(decoder.feed(client, Piece.of(event)))
    return [message for message in found if isinstance(message, DnsMessage)]


QUESTIONS = [
    ("api.example", "A"), ("api.example", "AAAA"), ("www.example", "A"), ("example", "MX"), ("note.example", "TXT"),
    ("_ldap._tcp.example", "SRV"), ("7.2.0.192.in-addr.arpa", "PTR"), ("nowhere.example", "A"), ("elsewhere.test", "A"),
    ("api.example", "MX"),
]  # fmt: skip


def shown(text: str) -> list[tuple[str, str, str]]:
    """(name, type, value) of dig's answer section."""
    section = text.partition(";; ANSWER SECTION:\n")[2].partition("\n\n")[0]
    return [_row(line) for line in section.splitlines() if line]


def _row(line: str) -> tuple[str, str, str]:
    name, _, _, kind, value = line.split(None, 4)
    return name.rstrip("."), kind, value


def same(answer: DnsMessage, text: str) -> None:
    """What dig prints is what we decode."""
    status = re.search(r"status: (\w+), id: (\d+)", text)
    assert status is not None
    assert (answer.rcode, answer.id) == (status[1], int(status[2]))
    wanted = shown(text)
    assert answer.answer_count == len(wanted)
    assert [(name, kind) for name, kind, _ in answer.answers] == [(name, kind) for name, kind, _ in wanted]
    for (_, kind, value), (_, _, said) in zip(answer.answers, wanted, strict=True):
        if kind in ("A", "AAAA", "CNAME", "PTR"):
            assert value.rstrip(".") == said.rstrip(".")


@pytest.mark.parametrize(("name", "kind"), QUESTIONS)
def test_udp(dnsmasq: int, name: str, kind: str) -> None:
    with DatagramRelay(dnsmasq) as relay:
        text = dig(relay.port, name, kind)
    record(relay.said, "dns", datagrams=True)
    query, answer = datagrams(relay.said)
    assert (query.question, query.qtype, query.is_response, query.complete) == (name, kind, False, True)
    same(answer, text)
    for keep in (8, 16, 32, 50):
        for message in datagrams(relay.said, keep):
            whole = answer if message.is_response else query
            assert message.id == whole.id
            assert set(message.answers) <= set(whole.answers)
            assert message.rcode in ("NOERROR", whole.rcode)


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(("name", "kind"), [QUESTIONS[0], QUESTIONS[2], QUESTIONS[7], ("many.example", "A")])
def test_tcp(dnsmasq: int, name: str, kind: str, step: int) -> None:
    with Relay(dnsmasq) as relay:
        text = dig(relay.port, name, kind, "+tcp")
        query, answer = (m for m in decoded(relay.conversation(), "dns", step) if isinstance(m, DnsMessage))
    assert query.tcp
    assert (query.question, query.qtype) == (name, kind)
    same(answer, text)


def test_too_much_for_a_datagram(dnsmasq: int) -> None:
    with DatagramRelay(dnsmasq) as relay:
        dig(relay.port, "many.example", "A", "+noedns", "+ignore")
    record(relay.said, "dns", datagrams=True)
    assert [message.truncated for message in datagrams(relay.said)] == [False, True]
