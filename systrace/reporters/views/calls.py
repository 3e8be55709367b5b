"""Calls as NDJSON (`systrace.reporters.shapes.shape.CallShape`). Written by hand for speed: 5 times json.dumps of a dict."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import BinaryIO

from systrace.annotations import note_of, note_socket
from systrace.calls import ACCEPTS, DUPLICATES, EPOLL_SETS, FORKS, LOOPS, NETWORK, ON_DESCRIPTOR, WITH_ADDRESS
from systrace.masking.calls import CallMasks
from systrace.masking.masks import Masks
from systrace.model import ENDED, RETURNED, UNFINISHED, Record

_BUFFER = 500  # calls
_SECOND = 1_000_000_000
_DESCRIPTOR = re.compile(rb"(?:[a-z]{1,12}=)?(?:(\d{1,9})|0x([0-9a-f]{1,8}))(?=[<,]|\Z)")
_ADDRESS = re.compile(
    rb"sin6?_port=htons\((\d{1,5})\).{0,60}?(?:inet_addr\(\"([^\"]{1,64})\"|inet_pton\(AF_INET6, \"([^\"]{1,64})\")"
    rb"|(?:sun_path|path)=(@?)\"([^\"]{0,200})\"",
    re.DOTALL,
)
_SHOWN = NETWORK | LOOPS | EPOLL_SETS
_MAKERS = ACCEPTS | {"socket"}


def write_calls(
    records: Iterable[Record],
    out: BinaryIO,
    files: Sequence[str] | None = None,
    *,
    live: bool = False,
    masks: Masks | None = None,
) -> None:
    """Write one line for each record.

    Args:
        files: names by `Record.source`, written into each line; None for a single file.
        live: each line leaves at once: the input is still being made.
        masks: of secrets; None: a set of its own.
    """
    tails = [f', "file": {quoted(_encodable(name))}}}\n' for name in files] if files is not None else None
    lines: list[str] = []
    masked = CallMasks(masks or Masks()).args
    for record in records:
        if record.retval is None and record.errno is None and record.outcome == RETURNED:
            continue  # a signal, an exit, a message: no call
        lines.append(call_line(record, "}\n" if tails is None else tails[record.source], masked(record)))
        if live or len(lines) >= _BUFFER:
            out.write("".join(lines).encode("ascii"))
            lines.clear()
            if live:
                out.flush()
    out.write("".join(lines).encode("ascii"))


def call_line(record: Record, tail: str = "}\n", shown: bytes | None = None) -> str:
    """One call, with `shown` for its arguments; ASCII only. Times are written from integers: a float would round an epoch."""
    args = record.args if shown is None else shown
    syscall, errno, time_ns, duration_ns = record.syscall, record.errno, record.time_ns, record.duration_ns
    fd, peer = _about(syscall, args.partition(b", ")[0])
    if syscall in WITH_ADDRESS and b"{sa_family=" in args:
        peer = _address(args) or peer
    return (
        f'{{"line": {record.lineno}, "tid": {record.tid or "null"}, '
        f'"time": {"null" if time_ns is None else f"{time_ns // _SECOND}.{time_ns % _SECOND:09d}"}, '
        f'"syscall": {_quoted(syscall)}, "fd": {fd}, '
        f'"retval": {"null" if record.retval is None else record.retval}, '
        f'"errno": {"null" if errno is None else _quoted(errno)}, '
        f'"duration": {"null" if duration_ns is None else f"{duration_ns // _SECOND}.{duration_ns % _SECOND:09d}"}, '
        f'"peer": {peer}, "args": {quoted(args.decode("utf-8", "backslashreplace"))}, '
        f'"outcome": "{UNFINISHED if record.outcome == ENDED else record.outcome}"{tail}'
    )


_quoted = lru_cache(maxsize=1024)(quoted)


@lru_cache(maxsize=8192)
def _about(syscall: str, first: bytes) -> tuple[str, str]:
    """What the first argument says: (descriptor, peer by strace's annotation), as JSON."""
    fd = _descriptor(syscall, first)
    start = first.find(b"<", 0, 24)
    facts = note_socket(note_of(first[max(0, start - 9) :])) if start > 0 and first.endswith(b"]>") else None
    peer = facts[3] if facts is not None else None
    known = peer is not None and (peer.port or peer.path)
    return "null" if fd is None else str(fd), quoted(str(peer)) if known else "null"


def _descriptor(syscall: str, args: bytes) -> int | None:
    match = _DESCRIPTOR.match(args)
    if match is None or (syscall not in ON_DESCRIPTOR and args[match.end() : match.end() + 1] != b"<"):
        return None
    return int(match[1]) if match[1] is not None else int(match[2], 16)


def _address(args: bytes) -> str | None:
    """The address argument, as JSON."""
    match = _ADDRESS.search(args)
    if match is None:
        return None
    port, v4, v6, abstract, path = match.groups()
    if path is not None:
        return quoted("unix:" + (abstract + path).decode("utf-8", "backslashreplace"))
    host = (v4 or v6).decode("ascii", "backslashreplace")
    host = host.removeprefix("::ffff:") if "." in host else host
    number = port.decode()
    return quoted(f"[{host}]:{number}" if ":" in host else f"{host}:{number}")


def network_calls(records: Iterable[Record]) -> Iterator[Record]:
    """The calls on sockets, and the waits. Without `-yy` the numbers of sockets are followed through fork and close."""
    sockets: dict[int, set[int]] = {}
    for record in records:
        call = record.syscall
        numbers = sockets.setdefault(record.tid, set())
        if call in FORKS and record.retval:
            shared = b"CLONE_FILES" in record.args
            sockets[record.retval] = numbers if shared else numbers | sockets.get(record.retval, set())
        fd = _descriptor(call, record.args)
        on_socket = fd is not None and (fd in numbers or note_socket(note_of(record.args)) is not None)
        if call in _SHOWN or on_socket:
            yield record
        if record.errno is None and record.retval is not None:
            if call in _MAKERS or (on_socket and call in DUPLICATES):
                numbers.add(record.retval)
            elif call == "close" and fd is not None:
                numbers.discard(fd)


def is_live(name: str) -> bool:
    """Whether an input is a pipe or terminal, so that more may come at any time."""
    try:
        status = os.fstat(0) if name == "-" else Path(name).stat()
    except OSError:
        return False
    return not stat.S_ISREG(status.st_mode)


def _encodable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
