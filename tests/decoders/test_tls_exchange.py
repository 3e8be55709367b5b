"""Requests and answers within TLS, told by records alone, in handshakes that OpenSSL really made."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from systrace.decoders.parts.tls_exchange import ALERT, APPLICATION, HANDSHAKE, Exchange
from systrace.decoders.protocols.tls import Tls
from systrace.messages.tls import TlsExchange, TlsRecords
from systrace.model import Message
from tests.decoders.conftest import call
from tests.decoders.test_tls import certificate_fixture as certificate_fixture

Talk = Callable[..., list[Message]]
Said = list[tuple[bool, bytes, int]]
NEW, OLD = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2


class Line:
    """Both ends of a connection, and what they have sent."""

    def __init__(self, path: Path, version: ssl.TLSVersion, tickets: int = 2, wants_certificate: bool = False) -> None:
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        server.load_cert_chain(path)
        server.num_tickets = tickets
        if wants_certificate:
            server.load_verify_locations(path)
            server.verify_mode = ssl.CERT_REQUIRED
        client.minimum_version = client.maximum_version = version
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        self.to_server, self.to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self.to_client, self.to_server)
        self.server = server.wrap_bio(self.to_server, self.to_client, server_side=True)
        self.said: Said = []
        for _ in range(2):
            self.does(True, self.client.do_handshake)
            self.does(False, self.server.do_handshake)

    def does(self, by_client: bool, step: Callable[[], Any]) -> None:
        """One side's step, and what it sends."""
        bio = self.to_server if by_client else self.to_client
        before = bio.pending
        try:
            step()
        except ssl.SSLError:
            pass
        held = bio.read()
        bio.write(held)
        if held[before:]:
            self.said.append((by_client, held[before:], 0))

    def asks(self) -> None:
        """The client sends a request, and the server reads it."""
        self.does(True, self.client.do_handshake)
        self.does(True, lambda: self.client.write(b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n"))
        self.does(False, self.server.read)

    def answers(self) -> None:
        """The server does, and the client reads it."""
        self.does(False, lambda: self.server.write(b"x" * 500))
        self.does(True, self.client.read)


def told(talk: Talk, said: Said) -> TlsExchange:
    """What the records of both sides say."""
    records = [m for m in talk(Tls, said) if isinstance(m, TlsRecords)]
    assert {id(m.exchange) for m in records} == {id(records[0].exchange)}
    assert records[0].exchange is not None
    return records[0].exchange


def request_first(said: Said) -> Said:
    """The same where the client sends its request before it reads what had come."""
    at = max(index for index, (by_client, _, _) in enumerate(said) if by_client)
    return [*said[: at - 1], said[at], said[at - 1], *said[at + 1 :]]


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_request_is_open_until_its_answer(version: ssl.TLSVersion, certificate: Path, talk: Talk) -> None:
    line = Line(certificate, version)
    assert not told(talk, line.said).open
    line.asks()
    assert told(talk, line.said).open
    line.answers()
    assert not told(talk, line.said).open
    line.asks()
    assert told(talk, line.said).open


@pytest.mark.parametrize(("tickets", "is_open", "doubtful"), [(0, True, False), (1, False, True), (2, True, False)])
def test_session_tickets_are_no_answer(
    tickets: int, is_open: bool, doubtful: bool, certificate: Path, talk: Talk
) -> None:
    """Read after the request was sent, two of one size are tickets; one by itself may be an answer."""
    line = Line(certificate, NEW, tickets)
    line.asks()
    exchange = told(talk, request_first(line.said) if tickets else line.said)
    assert (exchange.open, exchange.doubtful, exchange.tickets) == (is_open, doubtful, tickets)
    line.answers()
    assert not told(talk, line.said).open


def test_a_farewell_is_no_request(certificate: Path, talk: Talk) -> None:
    line = Line(certificate, NEW)
    line.asks()
    line.answers()
    line.does(True, line.client.unwrap)
    assert not told(talk, line.said).open


def test_an_alert_is_not_silence(certificate: Path, talk: Talk) -> None:
    """In TLS 1.3 the client has finished, and may have asked, when the server refuses its certificate."""
    line = Line(certificate, NEW, wants_certificate=True)
    line.does(True, lambda: line.client.write(b"GET / HTTP/1.1\r\n\r\n"))
    line.does(False, line.server.do_handshake)
    assert not told(talk, line.said).open
    assert told(talk, line.said).refused


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_farewell_of_the_server_is_no_refusal(version: ssl.TLSVersion, certificate: Path, talk: Talk) -> None:
    """It wanted no certificate of the client."""
    line = Line(certificate, version, tickets=0)
    line.does(False, line.server.unwrap)
    assert not told(talk, line.said).refused


@pytest.mark.parametrize(("later_ms", "is_open"), [(40, True), (2500, False)])
def test_tickets_come_at_once(later_ms: int, is_open: bool) -> None:
    """Two records of one size that come after seconds of work are an answer."""
    exchange = Exchange()
    exchange.hello = True
    sizes = [(True, 69, 0), (True, 120, 1), (False, 250, later_ms), (False, 250, later_ms)]
    for from_client, size, at_ms in sizes:
        exchange.record(from_client, APPLICATION, size, call(from_client, [(b"", size)], at_ms))
    assert exchange.told.open is is_open


def test_before_tls_1_3_alerts_have_a_type_of_their_own() -> None:
    """The server says close_notify in place of an answer; ours are no requests."""
    exchange = Exchange()
    exchange.hello = exchange.old = True
    for from_client, kind, size in [(True, HANDSHAKE, 40), (False, HANDSHAKE, 40), (True, APPLICATION, 99)]:
        exchange.record(from_client, kind, size, None)
    exchange.record(True, ALERT, 26, None)
    assert (exchange.told.open, exchange.told.asked) == (True, 99)
    exchange.record(False, ALERT, 26, None)
    assert not exchange.told.open


def test_a_hole_may_hide_an_answer() -> None:
    exchange = Exchange()
    exchange.hello = True
    exchange.record(True, APPLICATION, 53, None)
    exchange.record(True, APPLICATION, 99, None)
    assert exchange.told.open
    exchange.hole()
    assert not exchange.told.open
