"""ClientHello and ServerHello (RFC 8446 4.1), whole or cut anywhere."""

from __future__ import annotations

from systrace.dataclass import dataclass
from systrace.messages.problem import printable

_VERSIONS = {0x0300: "ssl3", 0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # RFC 8446 4.1.3
_SNI, _ALPN, _ENCRYPT_THEN_MAC, _SUPPORTED_VERSIONS = 0, 16, 22, 43


@dataclass(slots=True)
class Hello:
    """What a hello says."""

    client: bool
    versions: tuple[str, ...] = ()
    sni: str | None = None
    alpn: tuple[str, ...] = ()
    cipher: int | None = None
    cut: bool = False
    retry: bool = False
    random: bytes = b""  # 32 bytes, b"" when they are not known: key logs name connections by the client's
    encrypt_then_mac: bool = False  # RFC 7366


class _Cut(Exception):
    """The known bytes end."""


class _Reader:
    """Walks through bytes; raises `_Cut` when they end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, n: int) -> bytes:
        if self.at + n > len(self.data):
            raise _Cut
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def block(self, size: int) -> bytes:
        """A block with a length of `size` bytes before it."""
        return self.take(self.number(size))


def client_hello(body: bytes) -> Hello:
    """A ClientHello without its four-byte handshake header."""
    return _read(Hello(True), body)


def server_hello(body: bytes) -> Hello:
    """A ServerHello without its four-byte handshake header."""
    return _read(Hello(False), body)


def _read(hello: Hello, body: bytes) -> Hello:
    try:
        reader = _Reader(body)
        hello.versions = _named([reader.number(2)])
        hello.random = reader.take(32)
        hello.retry = not hello.client and hello.random == _RETRY
        reader.block(1)  # the session's id
        if hello.client:
            reader.block(2)  # cipher suites
            reader.block(1)  # compressions
        else:
            hello.cipher = reader.number(2)
            reader.take(1)
        if reader.at < len(body):
            _extensions(reader, hello)
    except _Cut:
        hello.cut = True
    return hello


def cut_hello(data: bytes) -> Hello:
    """A hello with its handshake header, of which the end is not known."""
    hello = client_hello(data[4:]) if data[:1] == b"\x01" else server_hello(data[4:])
    hello.cut = True
    return hello


def _extensions(reader: _Reader, hello: Hello) -> None:
    """Each extension that is wholly known; those before a cut count."""
    end = reader.number(2) + reader.at
    while reader.at + 4 <= end:
        kind = reader.number(2)
        content = reader.block(2)
        if kind == _SNI and hello.client:
            hello.sni = _server_name(content)
        elif kind == _ALPN:
            hello.alpn = _protocols(content)
        elif kind == _ENCRYPT_THEN_MAC:
            hello.encrypt_then_mac = True
        elif kind == _SUPPORTED_VERSIONS:
            if hello.client:
                content = content[1:]
            numbers = [int.from_bytes(content[at : at + 2], "big") for at in range(0, len(content) - 1, 2)]
            hello.versions = _named(numbers) or hello.versions


def _server_name(content: bytes) -> str | None:
    """RFC 6066 3: a list of (type 0, name)."""
    length = int.from_bytes(content[3:5], "big")
    name = content[5 : 5 + length]
    return printable(name, 255) if name and content[2] == 0 else None


def _protocols(content: bytes) -> tuple[str, ...]:
    """RFC 7301 3.1: a list of names, each after its length."""
    names, at = [], 2
    while at < len(content):
        size = content[at]
        names.append(printable(content[at + 1 : at + 1 + size], 60))
        at += 1 + size
    return tuple(names)


def _named(numbers: list[int]) -> tuple[str, ...]:
    """Version numbers as names, newest first; GREASE (RFC 8701) and unknown ones are left out."""
    return tuple(_VERSIONS[n] for n in sorted(numbers, reverse=True) if n in _VERSIONS)
