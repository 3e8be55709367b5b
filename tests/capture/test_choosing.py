"""Which tracer is taken, and the head of its recording."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from systrace.capture.choosing import choose, header
from systrace.errors import CaptureError, UsageError
from systrace.tracers import TRACERS, Request


def test_the_second_choice_is_said(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(TRACERS["embedded"], "unavailable", lambda: None, raising=False)
    monkeypatch.setattr(TRACERS["strace"], "unavailable", lambda: None, raising=False)
    assert choose(None).name == "strace"
    monkeypatch.setattr(TRACERS["strace"], "unavailable", lambda: "is not here", raising=False)
    assert choose(None, quiet=True).name == "embedded"
    assert capfd.readouterr().err == ""
    assert choose(None).name == "embedded"
    assert capfd.readouterr().err == "systrace: strace: is not here; the embedded tracer is used instead\n"
    with pytest.raises(CaptureError, match=r"^strace: is not here$"):
        choose("strace")
    with pytest.raises(UsageError, match="there is no tracer 'gdb': choose from "):
        choose("gdb")


def test_the_header_has_what_strace_does_not_say() -> None:
    facts = header(TRACERS["strace"], Request(Path("x"), frozenset({"read"})), attach=True, pid=os.getpid())
    assert {"systrace_version", "host", "kernel", "machine", "sysctls", "resolv_conf", "default_routes"} <= set(facts)
    assert "--seccomp-bpf" not in facts["strace_options"]  # of an attach
    run = header(TRACERS["strace"], Request(Path("x"), frozenset({"read"})))
    assert "--seccomp-bpf" in run["strace_options"]


def test_header_names_the_tracer_and_the_place() -> None:
    facts = header(TRACERS["embedded"], Request(Path("x"), frozenset({"read"})))
    assert (facts["tracer"], facts["user"], facts["cwd"]) == ("embedded", os.getuid(), str(Path.cwd()))
