"""A look survives its lines: what was gathered from really blocked programs is the same when read back."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from systrace.kernel.snapshot import take
from systrace.look.lines import PREFIX, lines_of, look_of
from systrace.look.nouns import Look

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
