"""`systrace attach`: what the trace says in the end is what the first look said, with the whole length of the wait."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from systrace.calls.numbers import name_of
from systrace.tracers.waiting import status_field, tracer_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="the tests are being traced themselves"),
]
HANG_SECONDS = 2.5  # before attach: a shorter wait is no hang
TRACE_SECONDS = 0.3
PAIR = (
    "import select, socket, time, fcntl, os, sys, threading\n"
    "server = socket.create_server(('127.0.0.1', 0), backlog=0)\n"
    "client = socket.create_connection(server.getsockname())\n"
)
ACCEPTED = PAIR + "peer, _ = server.accept()\nprint(server.getsockname()[1], flush=True)\n"
SOCKETS = {
    "recv": ACCEPTED + "client.recv(10)\n",
    "poll": ACCEPTED + "poll = select.poll(); poll.register(client, select.POLLIN); poll.poll()\n",
    "epoll": ACCEPTED + "epoll = select.epoll(); epoll.register(client, select.EPOLLIN); epoll.poll()\n",
    "connect": PAIR
    + "print(server.getsockname()[1], flush=True)\n"
    + "for _ in range(3): socket.create_connection(server.getsockname())\n",  # the queue is full: no SYN is answered
}
LOCAL = {  # the other end of standard input is the test's
    "recvfrom": ("hung-read", "import socket\nprint(flush=True)\nsocket.socket(fileno=0).recv(10)\n"),
    "read": ("hung-read", "import os\nprint(flush=True)\nos.read(0, 10)\n"),
    "poll": (
        "hung-read",
        "import select\nprint(flush=True)\np = select.poll(); p.register(0, select.POLLIN); p.poll()\n",
    ),
    "sendto": ("send-blocked", "import socket\nprint(flush=True)\nsocket.socket(fileno=0).sendall(bytes(8_000_000))\n"),
}
TIMED_FUTEX = (  # FUTEX_WAIT with a relative timeout: what futex_wait_restart() goes on with
    "import ctypes as c, os\nprint(flush=True)\nnumber = {'x86_64': 202, 'aarch64': 98}[os.uname().machine]\n"
    "c.CDLL(None).syscall(number, c.byref(c.c_int(0)), 0, 0, (c.c_long * 2)(300, 0), None, 0)\n"
)
OTHERS = {
    "futex": "import threading\nprint(flush=True)\nlock = threading.Lock(); lock.acquire(); lock.acquire()\n",
    "sleep": "import time\nprint(flush=True)\ntime.sleep(600)\n",
    "sleep of a child": "import os, time\nif os.fork() == 0:\n time.sleep(600)\nprint(flush=True)\nos.wait()\n",
    "lock": "import fcntl\nfirst, second = open(__import__('sys').argv[1], 'w'), open(__import__('sys').argv[1], 'w')\n"
    "fcntl.flock(first, fcntl.LOCK_EX)\nprint(flush=True)\nfcntl.flock(second, fcntl.LOCK_EX)\n",
}
HEALTHY = {  # idle servers, of which neither the look nor the trace may say that they hang
    "accept": PAIR + "threading.Thread(target=threading.Event().wait, daemon=True).start()\nprint(flush=True)\n"
    "client.close(); server.accept()[0].close(); server.accept()\n",
    "epoll on a listener, with workers": PAIR + "peer, _ = server.accept(); client.close(); peer.close()\n"
    "threading.Thread(target=threading.Event().wait, daemon=True).start()\nprint(flush=True)\n"
    "epoll = select.epoll(); epoll.register(server, select.EPOLLIN); epoll.poll()\n",
    "epoll with a limit, a client, and workers in loops": PAIR + "peer, _ = server.accept()\n"
    "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\ninner = select.epoll()\n"
    "inner.register(os.pipe()[0], select.EPOLLIN); threading.Thread(target=inner.poll, daemon=True).start()\n"
    "client.send(b'?'); peer.recv(1); time.sleep(0.05); peer.send(b'!'); client.recv(1); print(flush=True)\n"
    "epoll = select.epoll(); epoll.register(server, select.EPOLLIN); epoll.register(peer, select.EPOLLIN)\n"
    "epoll.poll(300)\n",
    "a connection without the listener": PAIR + "peer, _ = server.accept()\nprint(flush=True)\n"
    "if os.fork() == 0:\n if os.fork() == 0: time.sleep(600)\n os._exit(0)\n"  # its listener, no child of it any more
    "os.wait(); server.close(); client.close(); peer.recv(1)\n",
    "a resting pool": PAIR + "peer, _ = server.accept()\nclient.send(b'?'); peer.recv(1); time.sleep(0.05)\n"
    "peer.send(b'!'); client.recv(1)\nprint(flush=True)\nepoll = select.epoll()\n"
    "epoll.register(server, select.EPOLLIN); epoll.register(client, select.EPOLLIN); epoll.poll()\n",
}
LIMITED = {  # calls that a stop interrupts and restart_syscall(2) goes on with
    "poll": ("hung-read", ACCEPTED + "poll = select.poll(); poll.register(client, select.POLLIN); poll.poll(300000)\n"),
    "futex": ("not-network", TIMED_FUTEX),
    "sleep": ("not-network", "import time\nprint(flush=True)\n"
              "c = __import__('ctypes'); c.CDLL(None).nanosleep((c.c_long * 2)(300, 0), None)\n"),
}  # fmt: skip
Hang = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def hang(tmp_path: Path) -> Iterator[Hang]:
    """Start Python source that hangs; gives the process and its first line."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, stdin: int | None = None) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", source, str(tmp_path / "lock")],
            stdin=stdin,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        word = process.stdout.readline().strip()
        while not (status_field(process.pid, "State") or "").startswith("S"):
            time.sleep(0.01)
        time.sleep(HANG_SECONDS)  # the length of the wait is what is tested
        return process, word

    yield start
    for process in started:
        os.killpg(process.pid, 9)
        process.communicate()


def attach(pid: int) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Verdict and first finding of the trace, and the first look's sentence."""
    words = [sys.executable, "-m", "systrace", "attach", str(pid), "--for", str(TRACE_SECONDS), "--format", "json"]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False, text=True)
    report = json.loads(done.stdout)
    assert report["findings"], done.stdout
    return report["verdict"], report["findings"][0], done.stderr.splitlines()[0]


@pytest.mark.parametrize("kind", SOCKETS)
def test_a_wait_for_a_socket(hang: Hang, kind: str) -> None:
    process, port = hang(SOCKETS[kind])
    verdict, finding, first = attach(process.pid)
    assert f"127.0.0.1:{port}" in first
    assert verdict["outcome"] in (("hung", "failed") if kind == "connect" else ("hung",))
    assert verdict["peer"] == f"127.0.0.1:{port}"
    assert float(str(finding["duration_s"])) >= HANG_SECONDS


@pytest.mark.parametrize("call", LOCAL)
def test_a_wait_for_an_inherited_local_socket_names_who_is_at_its_other_end(hang: Hang, call: str) -> None:
    cause, source = LOCAL[call]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process, _word = hang(source, theirs.fileno())
        theirs.close()
        verdict, finding, first = attach(process.pid)
    assert f" in {call} " in first
    assert (verdict["outcome"], verdict["cause"], verdict["peer"]) == ("hung", cause, None)
    assert f"[{os.getpid()}] (the other end of UNIX socket" in str(finding["summary"])
    assert not any("keepalive" in each.lower() for each in finding["remedy"])
    assert float(str(finding["duration_s"])) >= HANG_SECONDS


@pytest.mark.parametrize("kind", OTHERS)
def test_a_wait_for_something_else(hang: Hang, kind: str) -> None:
    process, _word = hang(OTHERS[kind])
    verdict, finding, first = attach(process.pid)
    assert re.search(r"blocked [23]\.\d s in ", first)
    outcome = "healthy" if kind.startswith("sleep") else "hung"  # on purpose: its time is not over
    assert (verdict["outcome"], verdict["cause"], finding["variant"]) == (outcome, "not-network", kind.split()[0])
    assert float(str(finding["duration_s"])) >= HANG_SECONDS


@pytest.fixture
def resumed(hang: Hang) -> Callable[[str], subprocess.Popen[str]]:
    """A process whose limited wait was interrupted by a stop, so that it sits in restart_syscall since."""

    def start(kind: str) -> subprocess.Popen[str]:
        process, _word = hang(LIMITED[kind][1])
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        process.send_signal(signal.SIGCONT)
        os.waitid(os.P_PID, process.pid, os.WCONTINUED)
        while not (status_field(process.pid, "State") or "").startswith("S"):
            time.sleep(0.01)
        time.sleep(HANG_SECONDS)
        number = Path(f"/proc/{process.pid}/syscall").read_text().split()[0]
        assert name_of(int(number), os.uname().machine) == "restart_syscall"
        return process

    return start


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
@pytest.mark.parametrize("kind", LIMITED)
def test_what_goes_on_in_restart_syscall_is_the_same_to_the_look_and_to_both_tracers(
    resumed: Callable[[str], subprocess.Popen[str]], kind: str, tracer: str
) -> None:
    process = resumed(kind)
    words = [sys.executable, "-m", "systrace", "attach", str(process.pid), "--format", "json", "--tracer", tracer]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as brief:
        while not tracer_of(process.pid):
            assert brief.poll() is None
        brief.send_signal(signal.SIGINT)  # at once: perhaps before the call was seen
        ended = json.loads(brief.communicate(timeout=60)[0])
    while tracer_of(process.pid) or not (status_field(process.pid, "State") or "").startswith("S"):
        time.sleep(0.01)  # the attach woke it: it waits from now on
    time.sleep(HANG_SECONDS)
    done = subprocess.run([*words, "--for", "1"], capture_output=True, timeout=60, check=False, text=True)
    traced = json.loads(done.stdout)
    first = done.stderr.splitlines()[0]
    assert "it sleeps on purpose, at most 29" in first if kind == "sleep" else f" in {kind}" in first
    for report, least in ((traced, HANG_SECONDS + 1), (ended, HANG_SECONDS)):
        outcome = "healthy" if kind == "sleep" else "hung"
        assert (report["verdict"]["outcome"], report["verdict"]["cause"]) == (outcome, LIMITED[kind][0])
        assert report["findings"][0]["duration_s"] >= least
        if kind != "poll":
            assert report["findings"][0]["variant"] == kind


@pytest.mark.parametrize("tracer", ["strace", "embedded"])
@pytest.mark.parametrize("kind", HEALTHY)
def test_an_idle_server_hangs_on_nobody(hang: Hang, kind: str, tracer: str) -> None:
    process, _word = hang(HEALTHY[kind])
    words = [sys.executable, "-m", "systrace", "attach", str(process.pid), "--format", "json"]
    for more in (["--passive"], ["--for", "0.3", "--tracer", tracer]):
        done = subprocess.run([*words, *more], capture_output=True, timeout=60, check=False, text=True)
        assert json.loads(done.stdout)["verdict"]["outcome"] == "healthy", done.stdout
        assert done.returncode == 0


def test_a_limit_that_is_not_reached_is_said(hang: Hang) -> None:
    process, _port = hang(LIMITED["poll"][1])
    _verdict, finding, first = attach(process.pid)
    assert "its own limit of 300 s (poll) ends it in 29" in first
    assert "within its own limit of 300 s (" in str(finding["summary"])
