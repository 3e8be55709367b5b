"""Names that tell whose recording it is, replaced by others of their kind: the same one everywhere."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter

from systrace.masking.traced import Escaped

_ADDRESS = re.compile(
    rb"(?<![\w.:])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])|(?<![\w:.])(?:[0-9a-fA-F]{0,4}:){2,7}"
    rb"(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]{0,4})(?![\w:])"
)
_HOST = re.compile(rb"(?:(?<=//)|(?<![\w./-]))(?:[A-Za-z0-9](?:[\w-]{0,62})\.){1,8}[A-Za-z]{2,24}(?![\w(-]|\.\w)")
_HOME = re.compile(rb"(?<=/home/|Users/)[\w.-]{1,64}|(?<=/crontabs/)[\w.-]{1,64}|(?<=/run/user/)[\w.-]{1,64}")
_MAIL = re.compile(rb"(?<![\w.+-])[\w.+-]{1,64}(?=@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8})")
_WIRE = re.compile(rb"(?:[\x01-\x1f][\w-]{1,31}){2,10}(?=[\0\xc0])")  # a name as RFC 1035 3.1 has it
_PACKED = re.compile(  # the address of an A or AAAA record (RFC 1035 3.2.1, RFC 3596 2.1)
    rb"(?<=\0\x01\0\x01.{4}\0\x04).{4}|(?<=\0\x1c\0\x01.{4}\0\x10).{16}", re.DOTALL
)
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)', re.DOTALL)
_FACT = b"# systrace: "
_NAMED = re.compile(rb'("(host|user)": ")([^"\\]{1,255})(?=")')
_SUFFIXES = frozenset(  # words with a dot in them that name files, not hosts
    b"so py pyc sh js ts rb pl php jar log gz xz bz zst tar zip txt json jsonl xml yaml yml toml conf cfg ini cnf csv db sqlite"
    b" lock pid sock socket service timer tmp cache strace pem crt key cer html htm css md c h go rs java class dat bin mo d"
    b" sql part old bak pth whl egg".split()
)
_KEPT_HOSTS = (b"localhost.localdomain",)


class Names:
    """The names of one recording."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], bytes] = {}
        self._counts = Counter[str]()

    def __call__(self, line: bytes) -> bytes:
        """A line with other names: of its strings the bytes are looked at, as strace's escapes stand for them."""
        if line.startswith(_FACT):
            line = _NAMED.sub(self._named, line)
        out: list[bytes] = []
        at = 0
        for match in _STRING.finditer(line):
            out += (self._bytes(line[at : match.start(1)]), self._string(match[1]))
            at = match.end()
        return b"".join((*out, self._bytes(line[at:])))

    def _named(self, match: re.Match[bytes]) -> bytes:
        return match[1] + (match[3] if b"." in match[3] else self._other(match[2].decode(), match[3]))

    def _bytes(self, data: bytes) -> bytes:
        """Text without escapes."""
        return _spliced(data, [(low, high, self._others(kind, data[low:high])) for kind, low, high in _found(data)])

    def _string(self, text: bytes) -> bytes:
        if b"\\" not in text:
            return self._bytes(text)
        escaped = Escaped(text)
        changes = [
            (escaped.place(low), escaped.place(high), new)
            for kind, low, high in _found(escaped.data)
            if (new := self._others(kind, escaped.data[low:high])) != escaped.data[low:high]
        ]
        return _spliced(text, [(low, high, _escaped(new)) for low, high, new in changes])

    def _others(self, kind: str, name: bytes) -> bytes:
        """What stands in the place of a name of that kind."""
        if kind == "host":
            return self._host(name)
        if kind == "address":
            return self._address(name)
        if kind == "packed":
            text = ipaddress.ip_address(name).compressed.encode()
            return ipaddress.ip_address(self._address(text).decode()).packed
        return self._wire(name) if kind == "wire" else self._other(kind, name)

    def _wire(self, name: bytes) -> bytes:
        """Labels with their lengths before them; where these are none, it is no name."""
        labels, at = [], 0
        while at < len(name):
            labels.append(name[at + 1 : at + 1 + name[at]])
            at += 1 + name[at]
        if at != len(name):
            return name
        other = self._host(b".".join(labels))
        labels = [label[at : at + 31] for label in other.split(b".") for at in range(0, len(label), 31)]
        told = b"".join(bytes((len(label),)) + label for label in labels)
        return told if len(told) == len(name) else name[:1] + b"x" * (len(name) - 1)

    def _other(self, kind: str, name: bytes) -> bytes:
        """As long as the name, where that leaves room to tell it from others: the lengths of strings stay true."""
        known = self._known.get((kind, name))
        if known is None:
            number = b"%d" % (self._next(kind) + 1)
            known = self._known[kind, name] = (kind.encode()[: max(1, len(name) - len(number))] + number).ljust(
                len(name), b"x"
            )
        return known

    def _host(self, name: bytes) -> bytes:
        stem, _dot, top = name.lower().rpartition(b".")
        if top in _SUFFIXES or name.lower() in _KEPT_HOSTS or len(stem) < 4 or not stem.strip(b"0123456789."):
            return name
        return self._other("host", stem.replace(b".", b"-")) + b"." + b"example".ljust(len(top), b"x")[: len(top)]

    def _address(self, text: bytes) -> bytes:
        try:
            address = ipaddress.ip_address(text.decode())
        except ValueError:
            return text
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            return b"::ffff:" + self._address(str(address.ipv4_mapped).encode())
        if address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local:
            return text
        known = self._known.get(("address", text))
        if known is None:
            known = self._known["address", text] = _reserved(address.version, self._next("address"))
        return known

    def _next(self, kind: str) -> int:
        """How many names of that kind there were."""
        self._counts[kind] += 1
        return self._counts[kind] - 1


def _reserved(version: int, number: int) -> bytes:
    """An address that nobody has: for documentation (RFC 5737, RFC 3849), and of many for benchmarks (RFC 2544)."""
    if version == 6:
        return b"2001:db8::%x:%x" % divmod(number + 1, 1 << 16) if number >= 0xFFFF else b"2001:db8::%x" % (number + 1)
    ranges = (b"192.0.2.%d", b"198.51.100.%d", b"203.0.113.%d")
    if number < 250 * len(ranges):
        return ranges[number // 250] % (number % 250 + 1)
    number = (number - 250 * len(ranges)) % (1 << 17)
    return b"198.%d.%d.%d" % (18 + (number >> 16), number >> 8 & 255, number & 255)


def _found(data: bytes) -> list[tuple[str, int, int]]:
    """(kind, from, to) of what may be a name, in order; none within another."""
    kinds = (
        ("packed", _PACKED),
        ("wire", _WIRE),
        ("user", _MAIL),
        ("user", _HOME),
        ("host", _HOST),
        ("address", _ADDRESS),
    )
    found = sorted(
        (m.start(), number, m.end()) for number, (_kind, form) in enumerate(kinds) for m in form.finditer(data)
    )
    out: list[tuple[str, int, int]] = []
    for low, number, high in found:
        if not out or low >= out[-1][2]:
            out.append((kinds[number][0], low, high))
    return out


def _spliced(text: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    out: list[bytes] = []
    at = 0
    for low, high, new in changes:
        out += (text[at:low], new)
        at = high
    return b"".join((*out, text[at:])) if out else text


def _escaped(data: bytes) -> bytes:
    """As strace shows bytes."""
    return b"".join(bytes((byte,)) if 0x20 <= byte < 0x7F and byte not in b'"\\' else b"\\%03o" % byte for byte in data)
