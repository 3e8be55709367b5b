"""`--syslog`: one line to the local daemon."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from systrace.errors import SystraceError
from systrace.telemetry import OUTLETS, JobRun
from systrace.telemetry.outlets import syslog
from tests.telemetry.conftest import FAILED


@pytest.mark.parametrize(
    ("outcome", "failed", "severity"),
    [
        ("failed", True, 3),
        ("hung", False, 3),
        ("degraded", False, 4),
        ("healthy", False, 6),
        ("inconclusive", False, 5),
        ("inconclusive", True, 3),
        ("healthy", True, 3),
    ],
)
def test_severity_is_by_the_verdict(outcome: str, failed: bool, severity: int) -> None:
    """In the facility of user programs."""
    run = replace(FAILED, outcome=outcome, failed=failed)
    assert syslog.line(run, 9).startswith(b"<%d>" % (8 + severity))


def test_the_line(failed: JobRun, hostile: JobRun) -> None:
    """As daemons take it, and nothing in it that ends it or its elements early."""
    form = re.compile(
        r"<11>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d systrace\[9\]: \[job=\"(.*?)\" outcome=\"failed\" .*\] .+"
    )
    text = syslog.line(failed, 9).decode()
    assert form.fullmatch(text)
    assert text.endswith(f'cause="idle-timeout" peer="203.0.113.10:80" status="1"] {failed.headline}')
    shown = syslog.line(replace(hostile, job='x"] y', headline="é" * 5000), 9)
    assert len(shown) <= 2048
    assert b'job="x\\"\\] y"' in shown
    assert shown.decode().isprintable()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_it_is_sent_once(
    failed: JobRun, kind: socket.SocketKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a daemon of either kind."""
    monkeypatch.setattr(syslog, "SOCKET", str(tmp_path / "log"))
    with socket.socket(socket.AF_UNIX, kind) as daemon:
        daemon.bind(str(tmp_path / "log"))
        daemon.settimeout(5)
        if kind == socket.SOCK_STREAM:
            daemon.listen()
        OUTLETS["syslog"].tell(failed, "", b"")
        if kind == socket.SOCK_STREAM:
            peer = daemon.accept()[0]
            got = peer.recv(4096)
            peer.close()
            assert got.endswith(b"\0")
        else:
            got = daemon.recv(4096)
    assert got.rstrip(b"\0").startswith(b"<11>")
    assert b"idle-timeout" in got


def test_no_daemon(failed: JobRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is said in a line."""
    monkeypatch.setattr(syslog, "SOCKET", str(tmp_path / "log"))
    with pytest.raises(SystraceError, match="No such file or directory"):
        OUTLETS["syslog"].tell(failed, "", b"")
