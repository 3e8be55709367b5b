"""Which tracer is taken, and the head of its recording."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from systrace.capture.choosing import choose, header
from systrace.errors import CaptureError, UsageError
from systrace.tracers import TRACERS, Request


def test_the_one_that_costs_the_job_least_is_taken_and_why_none_better(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TRACERS:
        monkeypatch.setattr(TRACERS[name], "unavailable", lambda: None, raising=False)
    monkeypatch.setattr(TRACERS["ebpf"], "trial", lambda: None)
    assert (choose(None)[0].name, choose(None)[1]) == ("ebpf", [])
    monkeypatch.setattr(TRACERS["ebpf"], "trial", lambda: "the kernel does not take it")
    assert choose(None) == (TRACERS["embedded"], ["the kernel does not take it"])
    with pytest.raises(CaptureError, match=r"^the kernel does not take it$"):
        choose("ebpf")
    monkeypatch.setattr(TRACERS["ebpf"], "unavailable", lambda: "needs root", raising=False)
    tracer, better = choose(None)
    assert (tracer.name, better) == ("embedded", ["ebpf: needs root"])
    assert header(tracer, Request(Path("x")), better=better)["not_taken"] == better
    assert choose("strace") == (TRACERS["strace"], [])
    with pytest.raises(CaptureError, match=r"^ebpf: needs root$"):
        choose("ebpf")
    with pytest.raises(UsageError, match="there is no tracer 'gdb': choose from auto, ebpf, embedded, strace"):
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
