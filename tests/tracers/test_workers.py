"""What tracers with a process of their own share: the machines they know, and the words between the two sides."""

from __future__ import annotations

import json
import os
import socket
import sys
from types import SimpleNamespace

import pytest

from systrace.tracers import workers


@pytest.mark.parametrize(
    ("system", "machine", "release", "says"),
    [
        ("Linux", "x86_64", "5.8.0-1-generic", None),
        ("Linux", "aarch64", "6.18", None),
        ("Linux", "x86_64", "5.7.19", "this one needs Linux 5.8 or newer, this is 5.7.19"),
        ("Linux", "x86_64", "4.x", "needs Linux 5.8"),
        ("Linux", "riscv64", "6.1.0", "not Linux riscv64"),
        ("Darwin", "x86_64", "22.1.0", "not Darwin x86_64"),
    ],
)
def test_what_a_kernel_lacks(
    system: str, machine: str, release: str, says: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(sysname=system, machine=machine, release=release))
    found = workers.unsupported("this one", (5, 8))
    assert found == says if says is None else says in str(found)


def test_a_task_arrives_as_it_was_sent() -> None:
    task = {"output": b"/tmp/\xff".decode("latin-1"), "syscalls": ["read"] * 9000, "string_limit": 4096}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(workers.encoded(task))
        assert workers.received(theirs) == task


def test_what_went_wrong_is_said_and_nobody_need_listen() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            try:
                raise ValueError("no number")
            except ValueError as error:
                workers.say_fault(theirs, error)
            said = json.loads(ours.recv(1000))
            assert said["event"] == "fault"
            assert said["text"].startswith("ValueError in test_what_went_wrong_is_said_and_nobody_need_listen, line ")
            assert said["text"].endswith(": no number")
        workers.say(ours, "exited", status=0)


def test_the_job_s_python_variables_are_not_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")
    monkeypatch.setenv("PYTHONPATH", "/nonexistent")
    monkeypatch.setenv("KEPT", "1")
    found = workers.environment()
    assert found["KEPT"] == "1"
    assert "PYTHONHOME" not in found
    assert found["PYTHONPATH"].split(os.pathsep) == [path for path in sys.path if path]
