"""A capture from start to end without the command line."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from systrace.capture.recording import Recording
from systrace.capture.spool import Spool, Spooled
from systrace.outputs import place
from systrace.tracers import Capture, Request
from systrace.tracers.ebpf import Ebpf
from systrace.tracers.embedded import Embedded
from systrace.tracers.strace import Strace
from tests.tracers.embedded_job import Chosen

CALLS = frozenset(
    (
        "socket",
        "connect",
        "read",
        "write",
        "close",
        "openat",
        "dup2",
        "wait4",
        "kill",
        "sendto",
        "recvfrom",
        "poll",
        "execve",
    )
)


@pytest.fixture(params=[Embedded(), Ebpf()], ids=lambda tracer: tracer.name)
def each_tracer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`embedded_job.traced` runs the job under each tracer of our own."""
    reason = request.param.unavailable()
    if reason is not None:
        pytest.skip(reason)
    monkeypatch.setattr(Chosen, "tracer", request.param)


@dataclass
class Done:
    """A finished capture."""

    status: int | None
    text: str
    spooled: Spooled
    fault: str | None
    heard: str  # of who took the job over


@dataclass
class Going:
    """A capture under way."""

    capture: Capture
    recording: Recording
    spool: Spool

    def finish(self) -> Done:
        """Wait for the job and the recording."""
        status = self.capture.wait(60)
        spooled = self.spool.finish()
        text = self.recording.path.read_text("utf-8", "replace")
        return Done(status, text, spooled, self.capture.fault(), self.spool.heir.hear())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Going]]:
    """Starts `command` under strace; everything is cleaned up in the end."""
    with contextlib.ExitStack() as stack:

        def begin(
            command: Sequence[str], limit: int | None = None, save: Path | None = None, **fields: object
        ) -> Going:
            recording = Recording.create(place(save or tmp_path / "trace.strace"), {"command": list(command)})
            stack.callback(recording.close)
            spool = Spool(recording.fifo, recording.descriptor, limit, recording.directory)
            stack.callback(spool.close)
            request = replace(Request(output=recording.fifo, syscalls=CALLS, heir=spool.heir), **fields)  # type: ignore[arg-type]
            capture = stack.enter_context(Strace().run(command, request))
            return Going(capture, recording, spool)

        yield begin


@pytest.fixture
def python() -> list[str]:
    """Command prefix that runs Python code."""
    return [sys.executable, "-I", "-S", "-c"]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that sits in a read."""
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        yield process
        process.kill()
