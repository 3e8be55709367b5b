"""TLS: handshakes that OpenSSL really made, whole, byte by byte and with holes."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.decoders.parts.tls_certificate import subject
from systrace.decoders.protocols.tls import Tls
from systrace.messages.tls import NotTls, TlsAlert, TlsCertificate, TlsHello, TlsRecords
from systrace.model import Message

Talk = Callable[..., list[Message]]
Said = tuple[bool, bytes, int]


@pytest.fixture(name="certificate", scope="module")
def certificate_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for api.example, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.example")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pem + secret)
    return path


def handshake(path: Path, version: ssl.TLSVersion, trusting: bool = True) -> list[Said]:
    """What both sides of a connection sent, in order: handshake, one request, one answer, good-byes."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    server.set_alpn_protocols(["http/1.1"])
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.minimum_version = client.maximum_version = version
    client.set_alpn_protocols(["h2", "http/1.1"])
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE if trusting else ssl.CERT_REQUIRED
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="api.example")
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    said: list[Said] = []
    steps: list[tuple[bool, Callable[[], Any]]] = [(True, ours.do_handshake), (False, theirs.do_handshake)] * 3
    steps += [
        (True, lambda: ours.write(b"GET / HTTP/1.1\r\n\r\n")),
        (False, theirs.read),
        (False, lambda: theirs.write(b"x" * 500)),
    ]
    steps += [(True, ours.read), (True, ours.unwrap), (False, theirs.unwrap)]
    for is_client, step in steps:
        bio = to_server if is_client else to_client
        before = bio.pending
        try:
            step()
        except ssl.SSLError:
            pass
        held = bio.read()
        new = held[before:]
        bio.write(held)
        if new:
            said.append((is_client, new, 0))
    return said


def find(messages: list[Message], cls: type[Any]) -> list[Any]:
    return [m for m in messages if type(m) is cls]


def view(messages: list[Message]) -> list[tuple[str, str, bool]]:
    return [(type(m).__name__, m.summary, m.complete) for m in messages]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_real_handshake(version: ssl.TLSVersion, certificate: Path, talk: Talk) -> None:
    messages = talk(Tls, handshake(certificate, version))
    name = "1.3" if version == ssl.TLSVersion.TLSv1_3 else "1.2"
    ours, theirs = find(messages, TlsHello)
    assert (ours.client, ours.sni, ours.alpn, ours.versions) == (True, "api.example", ("h2", "http/1.1"), (name,))
    assert (theirs.client, theirs.versions) == (False, (name,))
    assert theirs.cipher is not None
    assert theirs.alpn == (() if name == "1.3" else ("http/1.1",))
    server, client = find(messages, TlsRecords)
    assert server.application_bytes > 500
    assert client.application_bytes > 18
    assert server.complete
    assert not find(messages, NotTls)


def test_a_clear_certificate_is_read(certificate: Path, talk: Talk) -> None:
    (found,) = find(talk(Tls, handshake(certificate, ssl.TLSVersion.TLSv1_2)), TlsCertificate)
    assert (found.summary, found.complete) == ("Certificate CN=api.example", True)


def test_our_alert_is_ours(certificate: Path, talk: Talk) -> None:
    messages = talk(Tls, handshake(certificate, ssl.TLSVersion.TLSv1_2, trusting=False))
    (alert,) = find(messages, TlsAlert)
    assert (alert.by_client, alert.level, alert.direction, alert.notable) == (True, "fatal", "sent", True)
    assert alert.name in ("unknown_ca", "bad_certificate")


@pytest.mark.parametrize("step", [1, 5, 100])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_cut_into_small_calls_the_messages_are_the_same(
    version: ssl.TLSVersion, step: int, certificate: Path, talk: Talk
) -> None:
    said = handshake(certificate, version)
    assert view(talk(Tls, said, step=step)) == view(talk(Tls, said))


@pytest.mark.parametrize("known", [5, 9, 32, 100, 200, 300])
def test_strings_cut_at_any_length(known: int, certificate: Path, talk: Talk) -> None:
    said = [(c, d[:known], len(d) - len(d[:known])) for c, d, _ in handshake(certificate, ssl.TLSVersion.TLSv1_3)]
    messages = talk(Tls, said)
    assert not find(messages, NotTls)
    if known > 5:
        hello = find(messages, TlsHello)[0]
        assert hello.cut
        assert not hello.complete
    if known >= 300:
        assert hello.sni == "api.example"


def test_a_hello_that_nobody_answers(certificate: Path, talk: Talk) -> None:
    hello = handshake(certificate, ssl.TLSVersion.TLSv1_3)[0]
    messages = talk(Tls, [(True, hello[1][:100], 0)], how="reset")
    (found,) = find(messages, TlsHello)
    assert found.cut
    (records,) = find(messages, TlsRecords)
    assert records.in_record == (95, len(hello[1]) - 5)


def test_what_came_instead(certificate: Path, talk: Talk) -> None:
    hello = handshake(certificate, ssl.TLSVersion.TLSv1_3)[0]
    messages = talk(Tls, [hello, (False, b"HTTP/1.1 400 Bad Request\r\n\r\n", 0), (False, b"more", 0)])
    (found,) = find(messages, NotTls)
    assert (found.offset, found.looks_like, found.direction) == (0, "http", "received")
    assert found.sample.startswith(b"HTTP/1.1 400")


def test_a_plain_text_after_records(talk: Talk) -> None:
    record = b"\x17\x03\x03\x00\x05abcde"
    messages = talk(Tls, [(False, record + b"oops", 0)])
    (found,) = find(messages, NotTls)
    assert (found.offset, found.sample) == (10, b"oops")


@pytest.mark.parametrize(
    ("client", "server", "least", "most"),
    [
        (bytes.fromhex("160301020001"), b"", 90, 100),
        (bytes.fromhex("16030102"), b"", 90, 100),
        (bytes.fromhex("16"), b"", 1, 89),
        (b"", bytes.fromhex("15030100020246"), 90, 100),
        (bytes.fromhex("160301020001"), b"HTTP/", 0, 0),
        (bytes.fromhex("160301020001"), b"220 m", 0, 0),
        (bytes.fromhex("160301020001"), bytes.fromhex("1603030040"), 90, 100),
        (b"\x17\x03\x03\xff\xff", b"", 0, 0),
        (b"GET /", b"", 0, 0),
    ],
)
def test_it_is_recognised_by_content(client: bytes, server: bytes, least: int, most: int) -> None:
    assert least <= Tls.identify(client, server) <= most


_RECORD = st.builds(
    lambda kind, body: bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body,
    st.integers(19, 25),
    st.binary(max_size=80),
)
_SAID = st.tuples(st.booleans(), st.one_of(_RECORD, st.binary(min_size=1, max_size=40)), st.sampled_from([0, 0, 1, 90]))


@settings(max_examples=300, deadline=None)
@given(st.lists(_SAID, max_size=12), st.sampled_from(["eof", "reset", "unfinished"]))
def test_hostile_bytes_never_raise(talk: Talk, said: list[Said], how: str) -> None:
    for message in talk(Tls, said, how=how):
        assert message.summary.isprintable()


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 1500), byte=st.integers(0, 255))
def test_damaged_handshakes_never_raise(talk: Talk, certificate: Path, at: int, byte: int) -> None:
    if not _SAMPLE:
        _SAMPLE.extend(handshake(certificate, ssl.TLSVersion.TLSv1_2))
    damaged = [(c, d[: at % len(d)] + bytes([byte]) + d[at % len(d) + 1 :], m) for c, d, m in _SAMPLE]
    assert talk(Tls, damaged)


_SAMPLE: list[Said] = []


def test_a_certificate_with_serial_number_0_is_read_without_a_warning() -> None:
    """RFC 5280 forbids it, old devices do it, and `cryptography` warns of it on standard error."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "router")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=9))
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    serial = der.index(b"\xa0\x03\x02\x01\x02\x02\x01\x01") + 7
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert subject(der[:serial] + b"\0" + der[serial + 1 :]) == "CN=router"
    assert not said
