"""Real servers on free ports of loopback, with all that they write in a directory of their own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from systrace.decoders import DECODERS
from systrace.decoders.choosing import choose
from systrace.messages.dns import DnsMessage
from systrace.messages.http import HttpResponse
from systrace.messages.piece import Piece
from systrace.messages.replies import FramingError, Request, ServerError
from systrace.messages.tls import TlsAlert
from systrace.model import RETURNED, Message, Received, Record, Sent, Socket
from tests.decoders.recordings import Recording, save
from tests.decoders.relay import Said

LIMIT_S = 60.0
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/usr/lib/dovecot"


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where one of the programs is not installed, or this is not root."""
    missing = [program for program in programs if find(program) is None]
    reason = f"not installed: {', '.join(missing)}" if missing else "the servers are started as other users: needs root"
    return pytest.mark.skipif(bool(missing) or os.geteuid() != 0, reason=reason)


def find(program: str) -> str | None:
    """Where a program is; PostgreSQL's are in a directory of their version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(program, path=os.pathsep.join([PATH, *map(str, versions)]))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def directory(user: str = "root") -> Iterator[Path]:
    """A directory of this user, removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="systrace-server-"))
    try:
        shutil.chown(path, user)
        path.chmod(0o755)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Wait until no other test process of this machine is in here."""
    with Path(tempfile.gettempdir(), f"systrace-server-{name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*argv: str, user: str = "root", env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its status; standard input is empty."""
    command = [find(argv[0]) or argv[0], *argv[1:]]
    environment = {**os.environ, "PATH": PATH, "LC_ALL": "C", **(env or {})}
    return subprocess.run(
        command, user=user, text=True, capture_output=True, stdin=subprocess.DEVNULL, env=environment, timeout=LIMIT_S,
        check=False, cwd="/",
    )  # fmt: skip


@contextlib.contextmanager
def serving(argv: Sequence[str], port: int, log: Path, user: str = "root") -> Iterator[None]:
    """A server in the foreground, ready when its port accepts; ended with all its children."""
    command = [find(argv[0]) or argv[0], *argv[1:]]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, user=user, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/",
            env={**os.environ, "PATH": PATH, "LC_ALL": "C"},
        )  # fmt: skip
    try:
        _await_port(server, port, log)
        yield
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(10)


def _await_port(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{server.args!r} does not serve: {log.read_text(errors='replace')}") from None
            time.sleep(0.05)


def decoded(said: Said, protocol: str, step: int = 0, handed_over: bool = False) -> list[Message]:
    """The messages of a recorded conversation, after its first bytes were recognised as `protocol`."""
    heads = [b"".join(data for by_client, data, _ in said if by_client is side)[:256] for side in (True, False)]
    chosen = choose(heads[0], heads[1], None)
    assert chosen is DECODERS[protocol], chosen
    record(said, protocol)
    messages = _feed(said, protocol, step, None)
    assert messages[-1].protocol == protocol
    assert handed_over == (messages[-1].summary in _LAST or messages[-1].summary.startswith(_TLS_FOLLOWS))
    for keep in (8, 16, 32, 100):
        claims_no_more(_feed(said, protocol, 0, keep), messages)
    return messages


def record(said: Said, protocol: str, keylog: str = "", datagrams: bool = False) -> None:
    """Write down what was said, if the environment variable SYSTRACE_RECORD names a directory: see `recordings`."""
    folder = os.environ.get("SYSTRACE_RECORD")
    if folder:
        test = os.environ["PYTEST_CURRENT_TEST"].split(" ")[0].rpartition("::")[2]
        name = "-".join([protocol, *re.findall(r"[a-z0-9]+", test.lower().removeprefix("test_"))])
        by = os.environ["PYTEST_CURRENT_TEST"].split(" ")[0].partition("[")[0]
        save(Recording(name[:60], protocol, by, tuple(said), keylog, datagrams), Path(folder))


_LAST = ("asks for TLS",)
_TLS_FOLLOWS = ("220 2.0.0 Ready to start TLS", "+OK Begin TLS", "OK Begin TLS")


def claims_no_more(clipped: list[Message], whole: list[Message]) -> None:
    """Of a log that shows only the first bytes of each call, nothing may be said that is not true of the whole."""
    faults = [message for message in clipped if getattr(message, "notable", False)]
    faults = [m for m in faults if not isinstance(m, TlsAlert) or m.code is not None]  # what it says is not known
    true = [message for message in whole if getattr(message, "notable", False)]
    assert not any(isinstance(message, FramingError) for message in faults), faults
    assert len(faults) <= len(true), faults
    assert all(any(_agrees(fault, one) for one in true) for fault in faults), (faults, true)
    if not any(isinstance(message, Request) and message.unanswered for message in whole):
        assert not [m.summary for m in clipped if isinstance(m, Request) and m.unanswered]


def _agrees(fault: Message, true: Message) -> bool:
    if isinstance(fault, HttpResponse) and isinstance(true, HttpResponse):
        return fault.status == true.status and (fault.incomplete_reason in ("", "clipped", true.incomplete_reason))
    if isinstance(fault, DnsMessage) and isinstance(true, DnsMessage):
        return fault.rcode == true.rcode
    if isinstance(fault, TlsAlert) and isinstance(true, TlsAlert):
        return fault.summary == true.summary
    if not isinstance(fault, ServerError) or not isinstance(true, ServerError):
        return fault.complete is true.complete is False or fault.summary == true.summary
    return fault.code in ("", true.code)


def _feed(said: Said, protocol: str, step: int, keep: int | None) -> list[Message]:
    """Feed a conversation in steps of so many bytes; `keep` is how many of each call are known."""
    decoder = DECODERS[protocol](Socket("S1", "inet", "stream", role="client"))
    out: list[Message] = []
    for client, data, _ in said:
        for start in range(0, len(data), step or len(data)):
            out += decoder.feed(client, _piece(client, data[start : start + (step or len(data))], keep))
            if decoder.handed_over:
                return out
    out += decoder.end(False, "eof")
    out += decoder.end(True, "eof")
    return out


def _piece(client: bool, data: bytes, keep: int | None) -> Piece:
    record = Record(0, 1, 1, 1_000, 10, "sendto" if client else "recvfrom", b"", len(data), None, RETURNED, b"")
    kind = Sent if client else Received
    event = kind(record, 3, len(data), b"", None, lambda _: [(data[:keep], len(data))])
    return Piece.of(event)
