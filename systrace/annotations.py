"""What `-y` and `-yy` print behind a descriptor: `<TCP:[a->b]>`, `<socket:[7794]>`, `</path>`, `<pipe:[9]>`.

Foundation: the parser and the sockets' bookkeeping both read it. strace 4.12 and later cache the text per inode, so it
goes stale: arguments of calls outrank it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from systrace.model import Endpoint

# `<TCP:[a->b]>`, `</dev/null<char 1:3>>`: an arrow is no end, and one level nests. Linear, closed or not.
_NOTE = rb"<[^<>]*(?:(?:(?<=-)>|<[^<>]*>)[^<>]*)*>"
NOTE = re.compile(_NOTE)
_HOST = re.compile(r"[\w.:%-]*", re.ASCII)
_BEHIND_DESCRIPTOR = re.compile(rb"(?<=[\dD])" + _NOTE)


def note_of(args: bytes) -> bytes:
    """What `-y`/`-yy` says of the first descriptor: `TCP:[a->b]`, `/path`, or nothing."""
    start = args.find(b"<", 0, 24)
    if start < 1 or not args[start - 1 : start].isdigit():
        return b""
    match = NOTE.match(args, start)
    return match[0][1:-1] if match is not None else b""


def without_notes(text: bytes) -> bytes:
    """The text with nothing but numbers where descriptors are: what follows them may hold numbers of its own."""
    return _BEHIND_DESCRIPTOR.sub(b"", text) if b"<" in text else text


_PAIR = re.compile(rb"(TCP|UDP|UDPLITE|RAW|PING|SCTP|DCCP)(v6)?:\[(.*)\]\Z", re.DOTALL)
_UNIX_NOTE = re.compile(
    rb"(?:UNIX(?:-(\w+))?|\(null\)):\[(\d{1,20})(?:->(\d{1,20}))?(?:,\"?(@?)\"?(.*?)\"?)?\]\Z", re.DOTALL
)
_INODE_NOTE = re.compile(
    rb"(?:socket|TCP|UDP|TCPv6|UDPv6|RAW|RAWv6|UNIX[\w-]*|NETLINK|\(null\)):\[(\d{1,20})(?:->\d+)?(?=[,\]])"
)


def note_inode(note: bytes) -> int | None:
    """The inode in `socket:[7794]`, `TCP:[7794]`, `pipe:[9]`."""
    match = _INODE_NOTE.match(note) or re.match(rb"pipe:\[(\d{1,20})\]", note)
    return int(match[1]) if match is not None else None


def note_inodes(args: bytes) -> tuple[int, ...]:
    """The inodes of all sockets and pipes that are named behind descriptors, in order; empty without `-y`."""
    if b"<" not in args:
        return ()
    found = (note_inode(note[1:-1]) for note in _BEHIND_DESCRIPTOR.findall(args))
    return tuple(inode for inode in found if inode is not None)


@lru_cache(maxsize=4096)
def note_socket(note: bytes) -> tuple[str, str, Endpoint | None, Endpoint | None] | None:
    """(family, type, local, peer) that an annotation of a socket tells; None when it is no socket.

    strace 4.12 and later cache the text per inode, so it may be stale: arguments of calls outrank it.
    """
    if note.startswith(b"socket:["):
        return "unknown", "unknown", None, None
    match = _PAIR.match(note)
    if match is not None:
        kind = {b"TCP": "stream", b"UDP": "dgram", b"SCTP": "stream"}.get(match[1], "raw")
        family = "inet6" if match[2] else "inet"
        if match[3].isdigit():
            return family, kind, None, None
        local, _, peer = match[3].partition(b"->")
        return family, kind, _host_port(family, local), _host_port(family, peer)
    match = _UNIX_NOTE.match(note)
    if match is not None:
        kind = (match[1] or b"stream").decode().lower()
        path = (match[4] or b"") + (match[5] or b"")
        where = Endpoint("unix", path=path.decode("utf-8", "backslashreplace")) if path else None
        return "unix", kind, None, where
    if note.startswith(b"NETLINK:"):
        return "netlink", "raw", None, None
    return None


def _host_port(family: str, text: bytes) -> Endpoint | None:
    host, _, port = text.decode("ascii", "replace").rpartition(":")
    if not port.isdigit() or len(port) > 5:
        return None
    return Endpoint(family, host_of(host.strip("[]")), int(port) & 0xFFFF)


def host_of(text: str) -> str:
    """An address as `Endpoint.host` holds it: "?" where it cannot be one, as reports put it into commands.

    What a dual-stack socket shows of an IPv4 peer (::ffff:192.0.2.1) loses its prefix.
    """
    if not _HOST.fullmatch(text):
        return "?"
    return text[7:] if "." in text and text[:7].lower() == "::ffff:" else text
