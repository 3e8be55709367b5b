"""A signal that comes while a filter is being added: the number's calls are seen all the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from systrace.tracers import Request
from systrace.tracers.embedded import Embedded
from tests.tracers.embedded_job import REAL, python
from tests.tracers.test_embedded_descriptors import WANTED

pytestmark = REAL
ROUNDS, NUMBERS = 40, 30
# SIGALRM every 50 us, ignored: a traced thread stops at it all the same. Each process needs a filter for each number.
JOB = f"""
import os, signal, socket
signal.signal(signal.SIGALRM, signal.SIG_IGN)
for turn in range({ROUNDS}):
    if not (child := os.fork()):
        signal.setitimer(signal.ITIMER_REAL, 0.00005, 0.00005)
        one, other = (each.detach() for each in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
        for number in range(300, 300 + 300 * {NUMBERS}, 300):
            os.dup2(one, number)
            os.write(number, b"token %d %d" % (turn, number))
            os.close(number)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("tracer", ["embedded"])
def test_every_first_write_is_seen(tracer: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with Embedded().run(python(JOB), Request(path, WANTED)) as capture:
        assert capture.wait(100) == 0
        assert capture.fault() is None
    seen = set(re.findall(r'write\(\d+[^"]*"token (\d+) (\d+)"', path.read_text()))
    wanted = {(str(turn), str(number)) for turn in range(ROUNDS) for number in range(300, 300 + 300 * NUMBERS, 300)}
    assert wanted - seen == set()
