"""A look survives its lines: what was gathered from really blocked programs is the same when read back."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from systrace import Input, analyze
from systrace.kernel.snapshot import take
from systrace.look.lines import PREFIX, line_of, lines_of, look_of, reading_of
from systrace.look.nouns import Backlog, Look, Reading, SocketState, TcpInfo
from systrace.model import Endpoint, Keepalive
from tests.look.readings import reading

BLOCKED = (
    "import os, select, socket, sys, threading\n"
    "client = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
    "client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)\n"
    "epoll = select.epoll(); epoll.register(client, select.EPOLLIN)\n"
    "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    "reader, writer = os.pipe()\n"
    "threading.Thread(target=lambda: os.read(reader, 1), daemon=True).start()\n"
    "print('ready', flush=True)\nepoll.poll()\n"
)


def values(look: Look) -> list[dict[str, object]]:
    """What a reader of the recording finds."""
    return [json.loads(line.removeprefix(PREFIX))["snapshot"] for line in lines_of(look)]


@pytest.fixture
def look() -> Iterator[Look]:
    """At a program with a socket in an epoll set, a pipe and threads."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = [sys.executable, "-c", BLOCKED, str(server.getsockname()[1])]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield take(process.pid)
            process.kill()


def test_what_was_gathered_is_read_back(look: Look) -> None:
    back = look_of(values(look))
    assert back is not None
    assert abs(back.time_ns - look.time_ns) < 1000
    assert dataclasses.replace(back, time_ns=look.time_ns, took_ns=look.took_ns) == look
    assert {t.call.name for t in back.threads if t.call is not None} >= {"epoll_wait", "read"}
    assert any(s.tcp is not None for s in back.sockets)


def test_its_lines_are_short_and_of_ascii(look: Look) -> None:
    for line in lines_of(look):
        assert line.isascii()
        assert b"\n" not in line
        assert len(line) < 64_000


def test_this_process_too() -> None:
    """With all the descriptors and threads that a test runner has."""
    look = take(os.getpid())
    back = look_of(values(look))
    assert back is not None
    assert dataclasses.replace(back, time_ns=look.time_ns, took_ns=look.took_ns) == look


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found[1:],  # the head is missing
        lambda found: [{**found[0], "time": None}, *found[1:]],
        lambda found: [{**found[0], "version": 1}, *found[1:]],
        lambda found: [*found, {"threads": [{"pid": 1}]}],
        lambda found: [*found, {"sockets": [{"more": {"pid": "x"}}]}],
        lambda found: [*found, {"holders": [3]}],
        lambda _found: [],
    ],
    ids=["no head", "no time", "older", "half a thread", "a text for a number", "no object", "nothing"],
)
def test_what_is_not_as_we_write_it_is_no_look(look: Look, damage: object) -> None:
    """A recording may be damaged, or written by somebody who means ill: no exception, no half look."""
    assert callable(damage)
    assert look_of(damage(values(look))) is None


# ---------------------------------------------------------------------------------------------------------- readings

EVERY = Reading(
    time_ns=1_700_000_006_123_456_789,
    pid=9,
    tid=10,
    call="epoll_wait",
    waited_ns=5_000_000_001,
    socket=SocketState(
        9, 3, 4711, "inet6", "stream", "tcp", Endpoint("inet6", "::1", 41000), Endpoint("unix", path="/x\\x1b\u20ac"),
        "syn-sent", "on", 900, 3, 1, 2, "head", True, Keepalive(True, 60, 5, 3), 1, 2, 3, 4, True,
        TcpInfo("established", 1, 2, 3, 204.5, 1.25, 4, 5, 6, 7, 8, 9, 10, 11, 12.5, 13, 14), 4712, True,
    ),
    closed=True,
    listener=Backlog(6, 5, True),
)  # fmt: skip


def value_of(each: Reading) -> Any:
    """What a reader of the recording finds."""
    line = line_of(each)
    assert line.startswith(PREFIX)
    assert line.isascii()
    assert b"\n" not in line
    return json.loads(line.removeprefix(PREFIX))["reading"]


@pytest.mark.parametrize(
    "each",
    [EVERY, reading(), reading(tcp=None, local=None, peer=None), reading(closed=True), reading(listener=Backlog(1, 2))],
    ids=["every field", "usual", "of the text tables", "closed", "listener"],
)
def test_a_reading_is_read_back(each: Reading) -> None:
    assert reading_of(value_of(each)) == each


def test_the_reading_above_has_no_field_as_it_is_by_default() -> None:
    """So that the round trip says something of all of them."""
    for noun in (EVERY, EVERY.socket, EVERY.socket.tcp, EVERY.socket.keepalive, EVERY.listener):
        assert noun is not None
        for field in dataclasses.fields(noun):
            assert getattr(noun, field.name) != field.default, field.name


def test_unknown_keys_are_ignored() -> None:
    """A later version may write more."""
    value = value_of(EVERY)
    value["mood"] = value["socket"]["mood"] = value["socket"]["tcp"]["mood"] = value["listener"]["mood"] = {"deep": [1]}
    assert reading_of(value) == EVERY


def damaged(*path: str, to: Any) -> object:
    """A reading of which one value is another."""
    value = inner = value_of(EVERY)
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return value


def without(*path: str) -> object:
    """A reading of which one value is missing."""
    value = inner = value_of(EVERY)
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return value


HUGE = 10**400  # no float holds it
WRONG: tuple[object, ...] = (None, [], {}, 1.5)
DAMAGED: list[object] = [
    None, [], [1], "x", 7, True, {}, {"pid": 1},
    *(damaged(name, to=to) for name in ("time_ns", "pid", "call", "waited_ns") for to in WRONG),
    damaged("call", to=3), damaged("pid", to="9"), damaged("closed", to="yes"), damaged("closed", to=1),
    *(damaged("socket", to=to) for to in (*WRONG, "x")),
    *(damaged("socket", name, to=[]) for name in ("inode", "fd", "state", "timer", "retransmits", "unsent", "accepted")),
    *(damaged("socket", name, to=to) for name in ("tcp", "peer", "local", "keepalive") for to in (*WRONG[1:2], "x", 3)),
    damaged("socket", "peer", to={"family": "inet", "host": "1.2.3.4", "port": "80"}),
    damaged("socket", "tcp", "probes", to="2"), damaged("socket", "tcp", "rto_ms", to="1"),
    damaged("listener", to=[1, 2]), damaged("listener", to={"waiting": 3}), damaged("listener", "most", to=None),
    *(damaged(name, to=to) for name in ("time_ns", "tid", "waited_ns") for to in (HUGE, -HUGE, 1 << 64)),
    damaged("socket", "unsent", to=HUGE), damaged("socket", "tcp", "last_ack_received_ms", to=-HUGE),
    *(damaged("socket", "tcp", "rto_ms", to=to) for to in (float("nan"), float("inf"), -HUGE)),
    without("socket"), without("time_ns"), without("socket", "inode"), without("socket", "tcp", "probes"),
]  # fmt: skip


@pytest.mark.parametrize("value", DAMAGED, ids=range(len(DAMAGED)))
def test_what_is_not_as_we_write_it_is_no_reading(value: object) -> None:
    assert reading_of(value) is None


HOSTILE: list[object] = [
    *DAMAGED,
    *(damaged(name, to=to) for name in ("time_ns", "pid", "tid", "waited_ns") for to in (HUGE, -HUGE, -1, 1 << 64, 0)),
    *(damaged("socket", name, to=to) for name in ("inode", "fd", "retransmits", "unsent", "unread", "timer_ms")
      for to in (HUGE, -HUGE, None) if not (to is None and name in ("inode", "fd"))),
    *(damaged("socket", "tcp", name, to=to) for name in ("probes", "last_ack_received_ms", "last_data_sent_ms", "rto_ms",
      "bytes_acked") for to in (HUGE, -HUGE, -1)),
    damaged("socket", "tcp", "rto_ms", to=float("nan")), damaged("socket", "tcp", "rto_ms", to=float("inf")),
    damaged("socket", "state", to="\x1b[2J\n"), damaged("call", to="\x1b]0;x\x07"),
    damaged("socket", "peer", "path", to="\x1b"),
    damaged("listener", "most", to=HUGE), damaged("listener", "waiting", to=-HUGE),
]  # fmt: skip
WAITS = (
    b'9 1700000001.000000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>',
    b'9 1700000001.100000 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.0001>',
    b"9 1700000001.200000 poll([{fd=3, events=POLLIN}], 1, 30000) = 0 (Timeout) <30.030>",
    b"9 1700000031.300000 close(3) = 0",
    b"9 1700000031.400000 +++ exited with 1 +++",
)


def hostile_lines() -> list[bytes]:
    """`# systrace:` lines with each of these, as they are and as of the socket that the log shows."""
    found = []
    for value in HOSTILE:
        found.append(PREFIX + json.dumps({"reading": value}).encode())
        if isinstance(value, dict) and isinstance(value.get("socket"), dict):
            mine = {**value["socket"], "fd": 3, "local": None, "peer": None}
            ours = {"time_ns": 1_700_000_020 * 10**9, **{"tid": 9} | value, "socket": mine}
            found += [PREFIX + json.dumps({"reading": {**ours, "closed": closed}}).encode() for closed in (False, True)]
    whole = value_of(EVERY)
    found += [
        PREFIX + b'{"reading"', PREFIX + b'{"reading": ', PREFIX + line_of(EVERY)[:-40], PREFIX + b"\xff\xfe{}",
        PREFIX + b'{"reading": ' + b"[" * 100_000, PREFIX + json.dumps([{"reading": whole}]).encode(),
        PREFIX + json.dumps({"reading": whole, "end": "x", "snapshot": None}).encode(),
        PREFIX + b'{"reading": {"pid": ' + b"9" * 5000 + b"}}",
    ]  # fmt: skip
    return found


@pytest.mark.parametrize("format_", ["table", "json"])
def test_parse_passes_over_hostile_readings(tmp_path: Path, format_: str) -> None:
    """Never a traceback, and the verdict of the calls stands; nothing of a terminal's language comes through."""
    log = tmp_path / "log"
    log.write_bytes(b"\n".join([*WAITS[:3], *hostile_lines(), *WAITS[3:]]) + b"\n")
    words = [sys.executable, "-m", "systrace", "parse", "--format", format_, str(log)]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stdout
    assert b"read-timeout" in done.stdout or b"peer-vanished" in done.stdout


@pytest.mark.parametrize("number", range(len(hostile_lines())))
def test_each_hostile_line_alone(number: int) -> None:
    lines = [*WAITS[:3], hostile_lines()[number], *WAITS[3:]]
    assert analyze([Input("log", [line + b"\n" for line in lines])]).findings
