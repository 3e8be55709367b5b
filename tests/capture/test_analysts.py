"""Who reads along while a job runs: the watcher that nobody asked for is not started."""

from __future__ import annotations

import os

from systrace.capture.analysts import reporting_analyst, showing_analyst
from systrace.capture.concluding import Conclusion
from systrace.capture.plan import Options, plan_of
from systrace.capture.recording import Recording
from systrace.reporters.layout import Layout

LINES = (
    b'77 1795000000.000000 execve("/bin/true", ["true"], 0x1 /* 0 vars */) = 0 <0.1>\n'
    b"77 1795000000.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.1>\n"
    b'77 1795000000.100000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16) = 0 <0.1>\n'
    b"77 1795000000.200000 +++ exited with 0 +++\n"
)


def test_nobody_follows_unless_asked() -> None:
    recording = Recording.create(None, {"command": ["true"]})
    try:
        assert showing_analyst(recording, None, None, secrets=False) is None
    finally:
        recording.close()


def test_who_reports_reads_to_the_end() -> None:
    recording = Recording.create(None, {"command": ["true"]})
    try:
        reporter = reporting_analyst(recording, plan_of(Options(["/bin/true"])), Layout(80), None)
        os.write(recording.descriptor, LINES)
        recording.end({"exit_status": 0, "fault": None, "lost_bytes": 0})
        conclusion = Conclusion.read(reporter.finish())
        reporter.close()
    finally:
        recording.close()
    assert b"192.0.2.1:80" in conclusion.report
    assert not conclusion.failed
