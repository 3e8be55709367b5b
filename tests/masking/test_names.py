"""`--redact-names`: no name, address, user or host of the log stands in any report."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.model import Input, Keep
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS, kept
from systrace.tracers.waiting import tracer_of

PLANTED = (b"10.77.66.55", b"2001:470:1f0b:99::7", b"partner-bank", b"joeuser", b"batchhost7")
LOG = rb"""# systrace: {"host": "batchhost7", "user": "joeuser", "command": ["/home/joeuser/job"]}
7 1700000000.1 execve("/home/joeuser/job", ["/home/joeuser/job", "https://api.partner-bank.com/x"], 0x1 /* 1 var */) = 0 <0.001>
7 1700000000.2 socket(AF_INET, SOCK_DGRAM, 0) = 3 <0.00001>
7 1700000000.3 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.77.66.53")}, 16) = 0 <0.0001>
7 1700000000.4 sendto(3, "\0\7\1\0\0\1\0\0\0\0\0\0\3api\14partner-bank\3com\0\0\1\0\1", 38, 0, NULL, 0) = 38 <0.0001>
7 1700000000.5 recvfrom(3, "\0\7\201\200\0\1\0\1\0\0\0\0\3api\14partner-bank\3com\0\0\1\0\1\300\f\0\1\0\1\0\0\0<\0\4\nMB7", 999, 0, NULL, NULL) = 54 <0.1>
7 1700000000.7 close(3) = 0 <0.0001>
7 1700000000.8 socket(AF_INET, SOCK_STREAM, 0) = 3 <0.00001>
7 1700000000.9 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("10.77.66.55")}, 16) = 0 <0.1>
7 1700000001.1 sendto(3, "GET http://api.partner-bank.com/x HTTP/1.1\r\nHost: api.partner-bank.com\r\nFrom: joeuser@partner-bank.com\r\n\r\n", 104, 0, NULL, 0) = 104 <0.0001>
7 1700000001.2 recvfrom(3, 0x5555, 4096, 0, NULL, NULL) = -1 ECONNRESET (Connection reset by peer) <0.1>
7 1700000001.4 socket(AF_INET6, SOCK_STREAM, 0) = 4 <0.00001>
7 1700000001.5 connect(4, {sa_family=AF_INET6, sin6_port=htons(80), inet_pton(AF_INET6, "2001:470:1f0b:99::7", &sin6_addr)}, 28) = -1 ECONNREFUSED (x) <0.1>
7 1700000001.9 +++ exited with 1 +++
"""  # noqa: E501


@pytest.mark.parametrize("form", sorted(REPORTERS))
def test_no_report_shows_them(form: str) -> None:
    def report(*, redact: bool) -> bytes:
        reporter, out = REPORTERS[form], io.BytesIO()
        lines = LOG.splitlines(keepends=True)
        keep = kept([reporter], Keep(redact_names=redact))
        reporter.write(analyze([Input("log", lines)], keep=keep), out)
        return out.getvalue()

    assert [name for name in PLANTED if name in report(redact=True)] == []
    assert form == "pcapng" or any(name in report(redact=False) for name in PLANTED)


def test_the_verdict_stays() -> None:
    plain, other = (
        analyze([Input("log", LOG.splitlines(keepends=True))], keep=Keep(redact_names=redact))
        for redact in (False, True)
    )
    assert [each.cause for each in plain.findings] == [each.cause for each in other.findings]
    assert plain.verdict.outcome == other.verdict.outcome
    assert plain.findings[0].peer != other.findings[0].peer


def systrace(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "systrace", *words], capture_output=True, check=False, timeout=60)


@pytest.mark.real
@pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children")
def test_run_and_attach(tmp_path: Path) -> None:
    job = 'exec 3<>/dev/tcp/127.0.0.1/1; : "$0"'
    done = systrace("run", "--redact-names", "--format", "json", "bash", "-c", job, "/home/joeuser/partner-bank.com")
    report = json.loads(done.stderr[done.stderr.index(b"{") : done.stderr.rindex(b"}") + 1])
    assert report["verdict"]["cause"] == "connect-refused"
    assert b"joeuser" not in json.dumps(report).encode()
    with subprocess.Popen(["sleep", "60", "0.0"], cwd=tmp_path) as sleeper:
        seen = systrace("attach", "--passive", "--redact-names", str(sleeper.pid))
        sleeper.kill()
    assert os.uname().nodename.encode() not in seen.stdout
    assert b"sleep" in seen.stdout


def test_what_goes_against_it() -> None:
    for words in (["parse", "--server-log", "x", "y"], ["run", "--check", "true"], ["attach", "--check", "1"]):
        done = systrace(words[0], "--redact-names", *words[1:])
        assert (done.returncode, b"choose one" in done.stderr) == (2, True), done.stderr
