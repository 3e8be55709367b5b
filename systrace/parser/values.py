"""Lazy pieces of an argument text: descriptors, strings, addresses, times. Nothing here raises on input."""

from __future__ import annotations

import codecs
import ipaddress
import re
from functools import lru_cache

from systrace.annotations import NOTE, host_of
from systrace.model import Endpoint, Record

_FD = re.compile(rb"(?:[a-z_]\w*=)?(?:0x([0-9a-f]{1,16})|(-?\d{1,12}))(?:<|\Z|,| )")
_SMALL = {
    b"%d%c" % (fd, behind): fd for fd in range(100) for behind in b"<,"
}  # `4<`, `17,`: most descriptors are these
_heads: dict[bytes, int] = {}  # first arguments repeat for each call on a descriptor
_MOST_HEADS, _LONGEST_HEAD = 4096, 400
_NUMBER = re.compile(rb"\s*(?:[a-z_]\w*=)?(?:0x([0-9a-f]{1,16})|(-?\d{1,20}))")
_NAME = re.compile(rb"\A[a-z_][a-z_0-9]*=(?=[^=])")  # strace -N
# A string that nothing closes (the log was cut) reaches to the end, so that no text is searched twice.
_STRING = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)(?:("(?:\.\.\.)?)|\\?\Z)', re.DOTALL)
_ODD_ESCAPE = re.compile(rb"\\(?:[^\\\"'ntrvfab0-7x]|[4-7][0-7]{2}|x(?![0-9a-fA-F]{2}))")
_ESCAPE = re.compile(rb"\\(?:([4-7][0-7]{2})|x[0-9a-fA-F]{2}|[0-3]?[0-7]{1,2}|[\\\"'ntrvfab]|(.|\Z))", re.DOTALL)
_TOKEN = re.compile(rb'["(\[{<)\]}>,]')
_CLOSERS = {b"(": b")", b"[": b"]", b"{": b"}"}
_TIMESPEC = re.compile(rb"\{(?:tv_sec=)?(-?\d{1,18}), (?:tv_(u|n)sec=)?(\d{1,9})\}")
_SOCKADDR = re.compile(rb'\{sa_family=([^,}]*)(?:, ([^"}]*(?:"(?:[^"\\]|\\.)*"[^"}]*)*))?\}', re.DOTALL)
_PORT = re.compile(rb'sin6?_port=(?:htons\((\d{1,9})\)|"((?:[^"\\]|\\.)*)")')
_INET = re.compile(rb'sin_addr=(?:inet_addr\("((?:[^"\\]|\\.)*)"\)|"((?:[^"\\]|\\.)*)")')
_INET6 = re.compile(rb'(?:inet_pton\(AF_INET6, "((?:[^"\\]|\\.)*)"|sin6_addr="((?:[^"\\]|\\.)*)")')
_PATH = re.compile(rb'(?:sun_path|path)=(@?)"((?:[^"\\]|\\.)*)"')
_NETLINK = re.compile(rb"(?:nl_)?pid=(-?\d+)")
_FAMILIES = {
    b"AF_INET": "inet", b"PF_INET": "inet", b"0x2": "inet", b"2": "inet",
    b"AF_INET6": "inet6", b"PF_INET6": "inet6", b"0xa": "inet6", b"10": "inet6",
    b"AF_UNIX": "unix", b"AF_LOCAL": "unix", b"AF_FILE": "unix", b"PF_UNIX": "unix", b"PF_LOCAL": "unix",
    b"PF_FILE": "unix", b"0x1": "unix", b"1": "unix",
    b"AF_NETLINK": "netlink", b"PF_NETLINK": "netlink", b"0x10": "netlink",
    b"AF_PACKET": "packet", b"PF_PACKET": "packet", b"0x11": "packet",
    b"AF_UNSPEC": "unspec", b"0": "unspec", b"AF_VSOCK": "vsock", b"0x28": "vsock",
}  # fmt: skip
_TYPES = {
    b"SOCK_STREAM": "stream", b"0x1": "stream", b"1": "stream", b"SOCK_DGRAM": "dgram", b"0x2": "dgram",
    b"2": "dgram", b"SOCK_RAW": "raw", b"0x3": "raw", b"3": "raw", b"SOCK_SEQPACKET": "seqpacket",
    b"SOCK_PACKET": "packet",
}  # fmt: skip


_BACKSLASH = 92  # a number is looked for faster than bytes


def fd_of(args: bytes) -> int:
    """The first argument as a descriptor; -1 when it is none or was lost."""
    known = _SMALL.get(args[:2])
    if known is None:
        known = _SMALL.get(args[:3])
    if known is not None:
        return known
    end = args.find(b",")
    head = args[:end] if end >= 0 else args
    known = _heads.get(head)
    if known is not None:
        return known
    if len(head) > _LONGEST_HEAD:
        return _decorated_fd(args)
    if len(_heads) >= _MOST_HEADS:
        _heads.clear()
    fd = _heads[head] = int(head) if head.isdigit() and len(head) < 10 else _decorated_fd(args)
    return fd


def _decorated_fd(args: bytes) -> int:
    match = _FD.match(args)
    if match is None:
        return -1
    number = int(match[1], 16) if match[1] else int(match[2])
    return number & 0xFFFFFFFF if number >= 0 else -1


def number_of(text: bytes) -> int | None:
    """An integer in any base strace prints, with its name= and comment; None when it is no number."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    return int(match[1], 16) if match[1] else int(match[2])


def unescape(text: bytes) -> bytes:
    """The bytes of a string as strace escaped it; what is no valid escape stays as it is."""
    if _BACKSLASH not in text:
        return text
    lines = text.replace(b"\\r\\n", b"\r\n")
    if (
        _BACKSLASH not in lines
    ):  # no other escape: no part of one was replaced either, or its backslash would have stayed
        return lines
    if _ODD_ESCAPE.search(text) is not None:
        text = _ESCAPE.sub(lambda m: b"\\" + m[0] if m.lastindex else m[0], text)
    try:
        return codecs.escape_decode(text)[0]  # type: ignore[attr-defined,no-any-return,unused-ignore]
    except ValueError:
        return text


def string_at(args: bytes, start: int = 0) -> tuple[bytes, bool, int] | None:
    """The first string from `start` on: (bytes, cut by -s, index behind it)."""
    quote = args.find(b'"', start)
    if quote < 0:
        return None
    match = _STRING.match(args, quote)
    if match is None:
        return None
    return unescape(match[1]), match[2] != b'"', match.end()


def strings(args: bytes) -> list[bytes]:
    """All strings in the text, unescaped."""
    return [unescape(match[1]) for match in _STRING.finditer(args)]


def split_args(args: bytes) -> list[bytes]:
    """The arguments at the top level, without names (`-N`)."""
    parts: list[bytes] = []
    depth = start = at = 0
    while True:
        match = _TOKEN.search(args, at)
        if match is None:
            break
        token, at = match[0], match.end()
        if token == b'"':
            string = _STRING.match(args, match.start())
            if string is None:
                break
            at = string.end()
        elif token in b"([{":
            depth += 1
        elif token in b")]}":
            depth -= 1
        elif token == b"<":
            before = args[match.start() - 1 : match.start()]
            if before.isdigit() or before == b"D":
                note = NOTE.match(args, match.start())
                at = note.end() if note is not None else at
        elif token == b"," and depth == 0:
            parts.append(args[start : match.start()].strip())
            start = at
    parts.append(args[start:].strip())
    return [_NAME.sub(b"", part) for part in parts] if b"=" in args else parts


def timespec_ns(text: bytes, unit: str = "n") -> int | None:
    """`{tv_sec=5, tv_nsec=0}`, `{5, 0}` -> ns; `unit` u or n where the fields have no names; None for NULL."""
    match = _TIMESPEC.search(text)
    if match is None:
        return None
    kind = match[2].decode() if match[2] else unit
    return int(match[1]) * 10**9 + int(match[3]) * (1000 if kind == "u" else 1)


def family_of(text: bytes) -> str:
    """`AF_INET`, `0x2 /* AF_INET */` -> inet."""
    return _FAMILIES.get(text.split(b" ", 1)[0], text.decode("ascii", "replace").lower().removeprefix("af_"))


def socket_type(text: bytes) -> tuple[str, bool, bool]:
    """(type, close-on-exec, non-blocking) of the second argument of socket(2)."""
    first = text.split(b"|", 1)[0].split(b" ", 1)[0]
    kind = _TYPES.get(first)
    cloexec, nonblock = b"SOCK_CLOEXEC" in text, b"SOCK_NONBLOCK" in text
    if kind is None:
        number = number_of(text)
        if number is not None:
            kind = _TYPES.get(b"%d" % (number & 0xF))
            cloexec, nonblock = bool(number & 0o2000000), bool(number & 0o4000)
    return kind or "unknown", cloexec, nonblock


@lru_cache(maxsize=4096)
def _endpoint(text: bytes) -> Endpoint | None:
    match = _SOCKADDR.match(text)
    if match is None:
        return None
    family, fields = family_of(match[1]), match[2] or b""
    if family in ("inet", "inet6"):
        port = _PORT.search(fields)
        address = (_INET if family == "inet" else _INET6).search(fields)
        if port is None or address is None:
            return Endpoint(family)
        number = int(port[1]) if port[1] else int.from_bytes(unescape(port[2] or b"")[:2], "big")
        return Endpoint(family, _host(address[1], address[2]), number)
    if family == "unix":
        path = _PATH.search(fields)
        if path is None:
            return Endpoint("unix", path="")
        return Endpoint("unix", path=path[1].decode() + unescape(path[2]).decode("utf-8", "backslashreplace"))
    if family == "netlink":
        return Endpoint("netlink")
    return Endpoint(family)


def _host(text: bytes | None, packed: bytes | None) -> str:
    if text is not None:
        return host_of(unescape(text).decode("ascii", "replace"))
    try:
        return host_of(str(ipaddress.ip_address(unescape(packed or b""))))
    except ValueError:
        return "?"


def endpoint_in(text: bytes, start: int = 0) -> Endpoint | None:
    """The first sockaddr in the text; None when there is none or strace could not decode it."""
    at = text.find(b"{sa_family=", start)
    if at < 0:
        return None
    end = text.find(b"}", at)
    candidate = text[at : end + 1] if end >= 0 else text[at:]
    found = _endpoint(candidate)
    if found is None and end >= 0:  # a `}` inside a path
        match = _SOCKADDR.match(text, at)
        found = _endpoint(match[0]) if match is not None else None
    return found


def flags_in(record: Record) -> bytes:
    """MSG_* flags of a send or recv, never text from within its strings."""
    if b"MSG_" not in record.args:
        return b""
    bare = _STRING.sub(b'""', record.args)
    match = re.search(rb"(?<!msg_flags=)\bMSG_\w+(?:\|MSG_\w+)*", bare)
    return match[0] if match is not None else b""
