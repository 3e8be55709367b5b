"""Times, reports and headers that `run` and `attach` share."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from systrace import Input
from systrace.commands.capture import common
from systrace.commands.capture.common import Conclusion, conclude
from systrace.reporters.layout import Layout
from systrace.tracers import TRACERS, Request

SOCKET = b"9 10.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[1]> <0.000100>\n"
CONNECT = (
    b"9 10.200000 connect(3<socket:[1]>, {sa_family=AF_INET, sin_port=htons(81), "
    b'sin_addr=inet_addr("192.0.2.7")}, 16) = %s\n'
)
REFUSED = b"-1 ECONNREFUSED (Connection refused) <0.000100>"
ENDED = b"9 15.000000 exit_group(%d) = ?\n9 15.100000 +++ exited with %d +++\n"


def concluded(result: bytes, status: int) -> Conclusion:
    """Of a job that makes one connection."""
    lines = (SOCKET + CONNECT % result + ENDED % (status, status)).splitlines(keepends=True)
    return Conclusion.read(conclude("t", iter(lines), "json", Layout()))


@pytest.mark.parametrize(
    ("result", "status", "failed", "healthy"),
    [
        (REFUSED, 1, True, False),
        (b"0 <0.000100>", 0, False, True),
        (b"0 <3.020000>", 0, False, False),  # a slow connect: a warning is no failure, and nothing to keep quiet about
    ],
)
def test_what_is_a_failure_and_what_is_healthy(result: bytes, status: int, failed: bool, healthy: bool) -> None:
    answer = concluded(result, status)
    assert (answer.failed, answer.healthy) == (failed, healthy)


def test_every_severity_counts_that_the_contract_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from systrace import pipeline

    analysis = pipeline.analyze([])
    text = SOCKET + CONNECT % REFUSED + ENDED % (1, 1)
    refused = pipeline.analyze([Input("t", text.splitlines(keepends=True))])
    finding = refused.findings[0]
    for severity, fails in (("fatal", True), ("error", True), ("warning", False), ("info", False)):
        analysis.findings[:] = [replace(finding, severity=severity)]
        monkeypatch.setattr(pipeline, "analyze", lambda *_a, **_k: analysis)
        head = json.loads(conclude("t", iter(()), "json", Layout()).partition(b"\n")[0])
        assert head["failed"] == fails


def test_the_header_has_what_strace_does_not_say() -> None:
    facts = common.header(TRACERS["strace"], Request(Path("x"), frozenset({"read"})), attach=True, pid=os.getpid())
    assert {"systrace_version", "host", "kernel", "machine", "sysctls", "resolv_conf", "default_routes"} <= set(facts)
    assert "--seccomp-bpf" not in facts["strace_options"]  # of an attach
    run = common.header(TRACERS["strace"], Request(Path("x"), frozenset({"read"})))
    assert "--seccomp-bpf" in run["strace_options"]
