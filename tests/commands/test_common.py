"""Times, reports and headers that `run` and `attach` share."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from systrace import Input
from systrace.commands.capture import common
from systrace.commands.capture.common import Conclusion, ReportTo, conclude
from systrace.errors import UsageError
from systrace.reporters.layout import Layout
from systrace.tracers import TRACERS, Request

SOCKET = b"9 10.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[1]> <0.000100>\n"
CONNECT = (
    b"9 10.200000 connect(3<socket:[1]>, {sa_family=AF_INET, sin_port=htons(81), "
    b'sin_addr=inet_addr("192.0.2.7")}, 16) = %s\n'
)
REFUSED = b"-1 ECONNREFUSED (Connection refused) <0.000100>"
ENDED = b"9 15.000000 exit_group(%d) = ?\n9 15.100000 +++ exited with %d +++\n"


@pytest.mark.parametrize("seconds", [0.0, -0.0])
def test_no_time_is_no_limit_to_wait_for(seconds: float) -> None:
    with pytest.raises(UsageError, match="--timeout"):
        common.check_seconds("--timeout", seconds)
    common.check_seconds("--timeout", 0.001)


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


def test_a_report_that_replaces_a_longer_one(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_bytes(b"old" * 1000)
    ReportTo(path).write(b"new")
    assert path.read_bytes() == b"new"


def test_a_slow_reader_gets_all_of_it() -> None:
    """A pipe takes what fits: the rest follows."""
    reader, writer = os.pipe()
    os.set_blocking(writer, True)
    got: list[bytes] = []

    def read() -> None:
        while part := os.read(reader, 1 << 16):
            got.append(part)

    thread = threading.Thread(target=read)
    thread.start()
    ReportTo(None, writer).write(b"x" * (1 << 20))
    os.close(writer)
    thread.join()
    os.close(reader)
    assert len(b"".join(got)) == 1 << 20


def test_what_one_write_does_not_take_is_written_by_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """write(2) may take a part: a signal, a disk that is nearly full."""
    to = ReportTo(tmp_path / "report")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:7])))
    to.write(b"a report of more than seven bytes")
    monkeypatch.undo()
    assert (tmp_path / "report").read_bytes() == b"a report of more than seven bytes"


def test_the_header_has_what_strace_does_not_say() -> None:
    facts = common.header(TRACERS["strace"], Request(Path("x"), frozenset({"read"})), attach=True, pid=os.getpid())
    assert {"systrace_version", "host", "kernel", "machine", "sysctls", "resolv_conf", "default_routes"} <= set(facts)
    assert "--seccomp-bpf" not in facts["strace_options"]  # of an attach
    run = common.header(TRACERS["strace"], Request(Path("x"), frozenset({"read"})))
    assert "--seccomp-bpf" in run["strace_options"]
