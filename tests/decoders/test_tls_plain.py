"""TLS that OpenSSL really spoke, decrypted with the keys that it logged: whole, in pieces, with holes, with late keys."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from systrace.decoders.conversation import Decoding
from systrace.decoders.parts.tls_keys import HELD_FEW, KeyLog
from systrace.messages.http import HttpRequest, HttpResponse
from systrace.messages.tls import TlsAlert, TlsRecords
from systrace.model import Endpoint, Message, Socket, Transfer

Call = Callable[..., Transfer]
Said = list[tuple[bool, bytes, int]]
BODY = b"0123456789" * 3000  # two records
REQUEST = b"GET /orders HTTP/1.1\r\nHost: api.example\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 30000\r\n\r\n" + BODY
LIMIT_S = 60


@pytest.fixture(name="certificates", scope="module")
def certificates_fixture(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Self-signed certificates for api.example: one with an EC key, one with an RSA key."""
    folder = tmp_path_factory.mktemp("tls")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.example")])
    now = datetime.now(UTC) - timedelta(days=1)
    paths: list[Path] = []
    for key in (ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)):
        certificate = x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=9)
        ).sign(key, hashes.SHA256())
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        paths.append(folder / f"{len(paths)}.pem")
        paths[-1].write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
    return paths


class Wire:
    """A TLS server that answers one request a connection, and what went over the wire between it and its client."""

    def __init__(self, certificates: list[Path], log: Path) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for path in certificates:
            self.context.load_cert_chain(path)
        self.context.set_ciphers("ALL:@SECLEVEL=0")
        self.log = log
        self.said: Said = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def close(self) -> None:
        """No more connections."""
        self._listener.close()

    def serve(self) -> None:
        """One connection, through memory, so that every byte is seen."""
        connection, _ = self._listener.accept()
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(coming, going, server_side=True)
        with connection:
            connection.settimeout(LIMIT_S)
            self._drive(connection, coming, going, lambda: tls.do_handshake() or True)  # type: ignore[func-returns-value]
            request = b""
            while b"\r\n\r\n" not in request:
                request += self._drive(connection, coming, going, lambda: tls.read(65536))
            self._drive(connection, coming, going, lambda: tls.write(ANSWER))
            try:
                self._drive(connection, coming, going, lambda: tls.unwrap() or True)  # type: ignore[func-returns-value]
            except (ssl.SSLError, OSError):
                return

    def _drive(self, connection: socket.socket, coming: ssl.MemoryBIO, going: ssl.MemoryBIO, step: Any) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                result = None
            data = going.read()
            if data:
                self.said.append((False, data, 0))
                connection.sendall(data)
            if result is not None:
                return result
            received = connection.recv(65536)
            if not received:
                raise ConnectionResetError
            self.said.append((True, received, 0))
            coming.write(received)

    def client(self, *options: str, commands: tuple[bytes, ...] = ()) -> Said:
        """What one run of `openssl s_client` and the server said to each other."""
        self.said = []
        server = threading.Thread(target=self.serve, daemon=True)
        server.start()
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-keylogfile", str(self.log), *options]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdin is not None
        assert process.stdout is not None
        for each in commands:
            process.stdin.write(each)
            process.stdin.flush()
            for line in process.stdout:
                if b"KEYUPDATE" in line:
                    break
        process.stdin.write(REQUEST)
        process.stdin.flush()
        server.join(LIMIT_S)
        process.communicate(timeout=LIMIT_S)
        return self.said


@pytest.fixture(name="wire")
def wire_fixture(certificates: list[Path], tmp_path: Path) -> Iterator[Wire]:
    """A server, not yet serving, and where its clients log their keys."""
    wire = Wire(certificates, tmp_path / "keys")
    yield wire
    wire.close()


def decode(call: Call, said: Said, keylog: KeyLog, step: int = 0, known: int = 1 << 20) -> list[Message]:
    """The messages of a conversation: each entry by one call, or `step` bytes a call of which `known` are known."""
    decoding = Decoding(keylog)
    peer = Socket("S1", "inet", "stream", role="client", peer=Endpoint("inet", "127.0.0.1", 443))
    at = 0
    for client, data, _ in said:
        size = step or len(data)
        for start in range(0, len(data), size):
            chunk = data[start : start + size]
            at += 1
            decoding.moved(peer, call(client, [(chunk[:known], len(chunk) - len(chunk[:known]))], at))
    decoding.ended(peer, False, "eof")
    decoding.ended(peer, True, "closed")
    return decoding.finish()


def only(messages: list[Message], cls: type[Any]) -> Any:
    """The one message of this class."""
    (found,) = [message for message in messages if type(message) is cls]
    return found


def check(messages: list[Message]) -> None:
    """Request and answer were read."""
    request, response = only(messages, HttpRequest), only(messages, HttpResponse)
    assert (request.method, request.target, request.direction) == ("GET", "/orders", "sent")
    assert (response.status, response.complete, response.received_length) == (200, True, 30000)
    assert response.request is request
    assert all(each.opened and not each.sealed for each in messages if isinstance(each, TlsRecords))


TLS12 = [
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES256-CCM8", "ECDHE-RSA-AES128-SHA", "AES256-SHA", "AES128-SHA256",
    "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA384",
]  # fmt: skip
TLS13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]


@pytest.mark.real
@pytest.mark.parametrize("suite", TLS12)
def test_each_cipher_family_of_tls_1_2(suite: str, wire: Wire, call: Call) -> None:
    said = wire.client("-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0")
    check(decode(call, said, KeyLog(wire.log)))


@pytest.mark.real
@pytest.mark.parametrize("suite", ["ECDHE-RSA-AES128-SHA", "AES256-SHA256"])
def test_cbc_with_the_mac_inside(suite: str, wire: Wire, call: Call) -> None:
    wire.context.options |= 1 << 19  # SSL_OP_NO_ENCRYPT_THEN_MAC
    said = wire.client("-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0")
    check(decode(call, said, KeyLog(wire.log)))


@pytest.mark.real
@pytest.mark.parametrize("suite", TLS13)
def test_each_suite_of_tls_1_3(suite: str, wire: Wire, call: Call) -> None:
    said = wire.client("-tls1_3", "-ciphersuites", suite)
    messages = decode(call, said, KeyLog(wire.log))
    check(messages)
    assert {each.code for each in messages if isinstance(each, TlsAlert)} == {0}, "close_notify is read"


@pytest.mark.real
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_resumed_sessions(version: str, wire: Wire, call: Call, tmp_path: Path) -> None:
    first = wire.client(version, "-sess_out", str(tmp_path / "session"))
    resumed = wire.client(version, "-sess_in", str(tmp_path / "session"))
    assert sum(len(data) for client, data, _ in resumed if not client) < sum(
        len(data) for client, data, _ in first if not client
    ), "without a certificate"
    for said in (first, resumed):
        check(decode(call, said, KeyLog(wire.log)))


@pytest.mark.real
def test_key_updates(wire: Wire, call: Call) -> None:
    said = wire.client("-tls1_3", commands=(b"K\n", b"K\n"))
    check(decode(call, said, KeyLog(wire.log)))


@pytest.fixture(name="spoken", scope="module")
def spoken_fixture(certificates: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Said, bytes]]:
    """One conversation of either version, with its key log."""
    spoken = {}
    for version in ("-tls1_2", "-tls1_3"):
        wire = Wire(certificates, tmp_path_factory.mktemp("wire") / "keys")
        said = wire.client(version)
        spoken[version] = said, wire.log.read_bytes()
        wire.close()
    return spoken


def log_of(lines: bytes) -> KeyLog:
    """A key log with these lines."""
    log = KeyLog()
    log.add(lines)
    return log


VERSIONS = pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])


@VERSIONS
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_calls_of_any_size(version: str, step: int, spoken: dict[str, tuple[Said, bytes]], call: Call) -> None:
    said, lines = spoken[version]
    check(decode(call, said, log_of(lines), step))


@VERSIONS
def test_records_hidden_with_their_headers_are_one_gap(
    version: str, spoken: dict[str, tuple[Said, bytes]], call: Call
) -> None:
    """As Node reads: several records by one call, of which `-s` shows the first one's beginning; the next call is known."""
    said, lines = spoken[version]
    decoding = Decoding(log_of(lines))
    peer = Socket("S1", "inet", "stream", role="client")
    for number, (client, data, _) in enumerate(said):
        known = 9000 if len(data) > 20000 else len(data)
        decoding.moved(peer, call(client, [(data[:known], len(data) - known)], number))
    messages = decoding.finish()
    assert only(messages, HttpRequest).target == "/orders"
    assert not [m for m in messages if isinstance(m, HttpResponse) and m.status != 200]


@VERSIONS
@pytest.mark.parametrize("hole", [1, 2, 3])
def test_a_gap_has_the_length_of_its_plaintext(
    version: str, hole: int, spoken: dict[str, tuple[Said, bytes]], call: Call
) -> None:
    """As OpenSSL reads: the header by one call, the record by the next, of which `-s` shows the beginning."""
    said, lines = spoken[version]
    decoding = Decoding(log_of(lines))
    peer = Socket("S1", "inet", "stream", role="client")
    for number, (client, record) in enumerate(records(said)):
        known = len(record) - 5 if len(record) < 4000 or client else 4096 - hole
        decoding.moved(peer, call(client, [(record[:5], 0)], number))
        body = record[5:]
        decoding.moved(peer, call(client, [(body[:known], len(body) - len(body[:known]))], number))
    messages = decoding.finish()
    assert only(messages, HttpRequest).complete
    assert [m.opened < m.records for m in messages if isinstance(m, TlsRecords) and m.direction == "received"] == [True]


def records(said: Said) -> Iterator[tuple[bool, bytes]]:
    """The TLS records of a conversation, one by one."""
    for client, data, _ in said:
        while data:
            size = 5 + int.from_bytes(data[3:5], "big")
            yield client, data[:size]
            data = data[size:]


@VERSIONS
def test_keys_that_come_late(version: str, spoken: dict[str, tuple[Said, bytes]], call: Call) -> None:
    said, lines = spoken[version]
    log = KeyLog()
    decoding = Decoding(log)
    peer = Socket("S1", "inet", "stream", role="client")
    for at, (client, data, _) in enumerate(said):
        decoding.moved(peer, call(client, [(data, 0)], at))
    assert not [m for m in peer.messages if isinstance(m, HttpRequest)]
    assert 0 < log.held < HELD_FEW
    log.add(lines)
    check(decoding.finish())
    assert log.held == 0


@VERSIONS
def test_without_keys_nothing_is_claimed(version: str, spoken: dict[str, tuple[Said, bytes]], call: Call) -> None:
    said, lines = spoken[version]
    for log in (KeyLog(), log_of(lines.replace(b"1", b"2"))):
        messages = decode(call, said, log)
        assert not [m for m in messages if isinstance(m, HttpRequest)]
        assert [(m.opened, m.sealed) for m in messages if isinstance(m, TlsRecords)] == [(0, "no session keys")] * 2
        assert log.held == 0


@VERSIONS
def test_wrong_secrets_open_nothing(version: str, spoken: dict[str, tuple[Said, bytes]], call: Call) -> None:
    said, lines = spoken[version]
    wrong = b"".join(line[:-8] + b"00000000\n" for line in lines.splitlines() if line and not line.startswith(b"#"))
    messages = decode(call, said, log_of(wrong))
    assert not [m for m in messages if isinstance(m, HttpRequest)]
    assert all(not m.opened for m in messages if isinstance(m, TlsRecords))


def test_a_missing_package_is_said_once_and_plainly(
    spoken: dict[str, tuple[Said, bytes]], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, lines = spoken["-tls1_3"]
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    log = log_of(lines)
    messages = decode(call, said, log)
    assert log.missing == "cryptography is not installed: pip install 'systrace[tls]'"
    assert {m.sealed for m in messages if isinstance(m, TlsRecords)} == {log.missing}


def test_hostile_records_raise_nothing(spoken: dict[str, tuple[Said, bytes]], call: Call) -> None:
    for version, (said, lines) in spoken.items():
        for at in range(0, 2000, 37):
            broken = [(c, d[:at] + bytes([d[at] ^ 0x55]) + d[at + 1 :] if at < len(d) else d, 0) for c, d, _ in said]
            decoding = Decoding(log_of(lines))
            peer = Socket("S1", "inet", "stream", role="client")
            for number, (client, data, _) in enumerate(broken):
                decoding.moved(peer, call(client, [(data, 0)], number))
            decoding.finish()
            assert not decoding.failures, (version, at)
