"""A look as `# systrace: ` lines at the head of a recording, and back: the one place that knows their form.

Each line is one JSON object with the single key `snapshot`; its value always has `pid` (the process asked about) and
`time` (epoch seconds), and any of the lists below. A reader joins the lists of all lines with the same `pid`; unknown
keys are to be ignored, absent values are null.

    {"snapshot": {"pid": 4242, "time": 1795223946.509, "version": 2,
      "processes": [{"pid": 4242, "ppid": 1, "argv": ["python3", "job.py"], "name": "python3", "state": "S"}],
      "threads": [{"pid": 4242, "tid": 4242, "name": "python3", "state": "S", "call": "recvfrom",
                   "args": [5, 140000, 8192, 0, 0, 0], "fd": 5, "fds": [[5, "r"]], "limit": null,
                   "since": 1795223534.5, "wchan": "wait_woken"}],
      "sockets": [{"pid": 4242, "fd": 5, "inode": 991, "family": "inet", "type": "stream", "protocol": "tcp",
                   "local": "10.0.0.5:41000", "peer": "203.0.113.10:443", "state": "established",
                   "keepalive": {"on": false, "idle_s": 7200, "interval_s": 75, "count": 9}, "nonblock": false,
                   "rcvtimeo": null, "sndtimeo": null, "user_timeout": null, "unread": 0, "unsent": 0,
                   "last_data_sent_ms": 412000, "last_data_received_ms": 412500, "timer": "", "timer_ms": null,
                   "retransmits": 0, "held_by": []}],
      "epoll": [{"pid": 4242, "fd": 4, "fds": [[5, "r"]]}],
      "limits": [{"what": "...", "why": "...", "mend": "..."}]}}

`since` is epoch seconds: when the thread was last on a CPU; `call` is null for a thread that is not in a call. `limit`,
`rcvtimeo`, `sndtimeo` and `user_timeout` are seconds. `local` and `peer` are written as `str(Endpoint)` writes them
(`unix:/path` for AF_UNIX). A socket that several processes hold appears once for each (pid, fd).
`ns_pids`, of processes in another PID namespace than ours, are their numbers in each namespace below ours.
`role` is "server" for accepted sockets; `last_word` is "ours", "theirs" or "both".
`held_by` names who holds the other end of a local socket that is waited for ("sshd[77]").
Since version 2 each item has `more`: what else the kernel said, by the names of `look.nouns`; and there are
`descriptors`, `locks` and `holders`. Older lines give a look without these.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from systrace.look.nouns import (
    LONG_S,
    Descriptor,
    End,
    FileLock,
    Limit,
    Look,
    ProcessState,
    Reading,
    SocketState,
    Thread,
)

PREFIX = b"# systrace: "
_PER_LINE = 16  # items: keeps a line far below what any reader of logs would cut
_OWN_LISTS = {"threads", "epoll", "descriptors"}  # of a process, which have lists of their own


def lines_of(look: Look) -> list[bytes]:
    """The lines described above, each without a newline."""
    head: dict[str, Any] = {"pid": look.pid, "time": look.time_ns / 1e9}
    lists: tuple[tuple[str, Iterable[dict[str, Any]]], ...] = (
        ("processes", (_process(process) for process in look.processes)),
        ("descriptors", ({"pid": p.pid, **_plain(each)} for p in look.processes for each in p.descriptors)),
        ("threads", (_thread(thread, look.time_ns) for thread in look.threads)),
        ("sockets", (_socket(state, look.holders) for state in look.sockets)),
        ("epoll", (_epoll(p.pid, fd, watched) for p in look.processes for fd, watched in p.epoll.items())),
        ("limits", ({"what": limit.what, "why": limit.why, "mend": limit.mend} for limit in look.limits)),
        ("locks", (_plain(lock) for lock in look.locks)),
        ("holders", ({"inode": i, "ends": [_plain(end) for end in ends]} for i, ends in look.holders.items())),
    )
    first = {**head, "version": 2, "kernel": look.kernel, "took_ms": look.took_ns // 10**6, "sysctls": look.sysctls}
    if look.long_s != LONG_S:
        first["long_s"] = look.long_s
    found = [_line(first)]
    for name, items in lists:
        found += [_line({**head, name: batch}) for batch in _batches(items)]
    return found


def look_of(values: Iterable[Mapping[str, Any]]) -> Look | None:
    """The look whose lines these are (the values of `snapshot`); None where they are no whole one of version 2."""
    joined: dict[str, list[Any]] = {}
    first: Mapping[str, Any] = {}
    for value in values:
        if value.get("version") == 2:
            first = value
        for name, items in value.items():
            if isinstance(items, list):
                joined.setdefault(name, []).extend(items)
    try:
        return _joined(first, joined) if first else None
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):  # not as we write it
        return None


def _joined(first: Mapping[str, Any], lists: dict[str, list[Any]]) -> Look | None:
    time_ns = round(first["time"] * 1e9)
    threads: dict[int, list[Thread]] = {}
    for item in lists.get("threads", []):
        threads.setdefault(item["pid"], []).append(_read(Thread, item["more"]))
    epolls: dict[int, dict[int, tuple[tuple[int, str], ...]]] = {}
    for item in lists.get("epoll", []):
        epolls.setdefault(item["pid"], {})[item["fd"]] = tuple((fd, way) for fd, way in item["fds"])
    descriptors: dict[int, list[Descriptor]] = {}
    for item in lists.get("descriptors", []):
        descriptors.setdefault(item["pid"], []).append(_read(Descriptor, item))
    processes = tuple(
        dataclasses.replace(
            _read(ProcessState, {**item["more"], "threads": []}),
            threads=tuple(threads.get(item["pid"], ())),
            epoll=epolls.get(item["pid"], {}),
            descriptors=tuple(descriptors.get(item["pid"], ())),
        )
        for item in lists.get("processes", [])
    )
    if not processes:
        return None
    return Look(
        pid=int(first["pid"]),
        time_ns=time_ns,
        took_ns=int(first.get("took_ms", 0)) * 10**6,
        kernel=str(first.get("kernel", "")),
        processes=processes,
        sockets=tuple(_read(SocketState, item["more"]) for item in lists.get("sockets", [])),
        locks=tuple(_read(FileLock, item) for item in lists.get("locks", [])),
        holders={i["inode"]: tuple(_read(End, end) for end in i["ends"]) for i in lists.get("holders", [])},
        sysctls={str(name): int(value) for name, value in first.get("sysctls", {}).items()},
        limits=tuple(_read(Limit, item) for item in lists.get("limits", [])),
        long_s=float(first.get("long_s", LONG_S)),
    )


def line_of(reading: Reading) -> bytes:
    """One line, `# systrace: {"reading": {...}}`, without a newline; its names are those of `look.nouns`."""
    return PREFIX + json.dumps({"reading": _plain(reading)}, separators=(",", ":")).encode("ascii")


def reading_of(value: object) -> Reading | None:
    """The reading of such a line (the value of `reading`); None where it is none."""
    try:
        return _read(Reading, value) if isinstance(value, dict) else None
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):  # not as we write it
        return None


# ------------------------------------------------------------------------------------------------- nouns <-> JSON


def _plain(value: Any) -> Any:
    """A noun as JSON: its fields by name, those that are as they are by default left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = {}
        for field in dataclasses.fields(value):
            each = getattr(value, field.name)
            if field.name not in _OWN_LISTS and not (
                field.default is not dataclasses.MISSING and each == field.default
            ):
                made[field.name] = _plain(each)
        return made
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def _read(kind: Any, value: Any) -> Any:
    """The noun of a type, from what `_plain` made of it.

    Raises:
        TypeError, ValueError, KeyError: it is none.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        (inner,) = [each for each in get_args(kind) if each is not type(None)]
        return None if value is None else _read(inner, value)
    if origin is tuple:
        return _read_tuple(get_args(kind), value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        known = {field.name for field in dataclasses.fields(kind)}
        return kind(**{name: _read(hints[name], each) for name, each in value.items() if name in known})
    if kind in (int, str, bool, float) and not isinstance(value, (int, float) if kind is float else kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    if kind in (int, float) and not abs(value) < 1 << 64:
        raise ValueError("more than the kernel counts")
    return value


def _read_tuple(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    """One of any length, tuple[X, ...], or one with a type for each of its parts."""
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_read(kinds[0], each) for each in value)
    return tuple(_read(kind, each) for kind, each in zip(kinds, value, strict=True))


def _line(value: dict[str, Any]) -> bytes:
    return PREFIX + json.dumps({"snapshot": value}, separators=(",", ":")).encode("ascii")


def _batches(items: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for item in items:
        batch.append(item)
        if len(batch) == _PER_LINE:
            yield batch
            batch = []
    if batch:
        yield batch


def _process(process: ProcessState) -> dict[str, Any]:
    inner = {"ns_pids": list(process.ns_pids[1:])} if len(process.ns_pids) > 1 else {}
    return inner | {
        "pid": process.pid,
        "ppid": process.ppid,
        "argv": list(process.argv),
        "name": process.name,
        "state": process.state,
        "machine": process.machine,
        "more": _plain(process),
    }


def _thread(thread: Thread, now_ns: int) -> dict[str, Any]:
    call = thread.call
    return {
        "pid": thread.pid,
        "tid": thread.tid,
        "name": thread.name,
        "state": thread.state,
        "call": call.name if call is not None else None,
        "args": list(call.args) if call is not None else None,
        "fd": call.fd if call is not None else None,
        "fds": [list(pair) for pair in call.fds] if call is not None else [],
        "limit": _seconds(call.limit_ns) if call is not None else None,
        "limit_source": call.limit_source or None if call is not None else None,
        "since": (now_ns - thread.blocked_ns) / 1e9 if thread.blocked_ns is not None else None,
        "wchan": thread.wchan,
        "more": _plain(thread),
    }


def _socket(state: SocketState, holders: dict[int, tuple[End, ...]]) -> dict[str, Any]:
    return {
        "pid": state.pid,
        "fd": state.fd,
        "inode": state.inode,
        "family": state.family,
        "type": state.type,
        "protocol": state.protocol,
        "local": str(state.local) if state.local is not None else None,
        "peer": str(state.peer) if state.peer is not None else None,
        "state": state.state,
        "keepalive": {
            "on": state.keepalive.on,
            "idle_s": state.keepalive.idle_s,
            "interval_s": state.keepalive.interval_s,
            "count": state.keepalive.count,
        },
        "nonblock": state.nonblock,
        "rcvtimeo": _seconds(state.rcvtimeo_ns),
        "sndtimeo": _seconds(state.sndtimeo_ns),
        "user_timeout": _seconds(state.user_timeout_ns),
        "role": "server" if state.serves else None,
        "last_word": state.last_word or None,
        "unread": state.unread,
        "unsent": state.unsent,
        "last_data_sent_ms": state.tcp.last_data_sent_ms if state.tcp is not None else None,
        "last_data_received_ms": state.tcp.last_data_received_ms if state.tcp is not None else None,
        "timer": state.timer,
        "timer_ms": state.timer_ms,
        "retransmits": state.retransmits,
        "held_by": [f"{end.command}[{end.pid}]" for end in holders.get(state.peer_inode or 0, ())],
        "more": _plain(state),
    }


def _epoll(pid: int, fd: int, watched: tuple[tuple[int, str], ...]) -> dict[str, Any]:
    return {"pid": pid, "fd": fd, "fds": [list(pair) for pair in watched]}


def _seconds(value_ns: int | None) -> float | None:
    return value_ns / 1e9 if value_ns is not None else None
