"""A path of a UNIX socket may hold a secret: it is in no report."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.model import Input, Keep
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS, kept

SECRET = "s3cr3ts3cr3ts3cr3t"
LOG = f"""7 1700000000.1 execve("/job", ["job"], 0x1 /* 1 var */) = 0 <0.001>
7 1700000000.2 socket(AF_UNIX, SOCK_STREAM, 0) = 3 <0.00001>
7 1700000000.3 connect(3, {{sa_family=AF_UNIX, sun_path="/run/agent?token={SECRET}"}}, 110) = 0 <0.0001>
7 1700000000.4 sendto(3, "hello\\n", 6, 0, NULL, 0) = 6 <0.0001>
7 1700000000.5 recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.1>
7 1700000000.7 close(3) = 0 <0.0001>
7 1700000000.8 socket(AF_UNIX, SOCK_STREAM, 0) = 3 <0.00001>
7 1700000000.9 connect(3, {{sa_family=AF_UNIX, sun_path="/run/agent?token={SECRET}"}}, 110) = -1 ECONNREFUSED (Refused) <0.1>
7 1700000001.2 +++ exited with 1 +++
"""


@pytest.mark.parametrize("form", sorted(REPORTERS))
def test_no_report_shows_it(form: str) -> None:
    def report(shown: bool) -> bytes:
        reporter, out = REPORTERS[form], io.BytesIO()
        lines = LOG.encode().splitlines(keepends=True)
        reporter.write(analyze([Input("log", lines)], keep=kept([reporter], Keep(secrets=shown))), out)
        return out.getvalue()

    assert SECRET.encode() not in report(shown=False)
    assert report(shown=False)


def test_the_peer_of_a_finding_is_that_of_its_socket() -> None:
    analysis = analyze([Input("log", LOG.encode().splitlines(keepends=True))])
    for finding in analysis.findings:
        socket = analysis.evidence.sockets[finding.socket or ""]
        assert finding.peer == str(socket.peer)
        assert finding.peer == "unix:/run/agent?token=*secret-1*********"
    assert analysis.findings
    assert analysis.verdict.peer == analysis.findings[0].peer


def test_nor_do_timelines_and_events(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(LOG)
    for words in (["events"], ["parse", "--socket", "S1"], ["follow", "--socket", "S1"]):
        done = subprocess.run([sys.executable, "-m", "systrace", *words, str(log)], capture_output=True, check=False)
        assert b"/run/agent" in done.stdout, done.stderr
        assert SECRET.encode() not in done.stdout + done.stderr
