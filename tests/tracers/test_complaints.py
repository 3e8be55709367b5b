"""What a tracer says on its standard error."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from systrace.tracers.complaints import SIZE, Complaints


@pytest.mark.parametrize(
    ("said", "last"),
    [
        (b"", ""),
        (b"strace: a\x1b[2J\n/usr/bin/strace: a\x1b[2J\nstrace: b\xff\n", "b\ufffd"),
        (b"strace: b\n/usr/bin/strace: a\x1b[2J\n\n", "a?[2J"),
    ],
)
def test_the_last_complaint_is_one_clean_line(said: bytes, last: str) -> None:
    complaints = Complaints()
    os.write(complaints.descriptor, said)
    assert complaints.last() == last
    complaints.close()


def test_whoever_writes_on_fills_nothing_and_is_not_killed() -> None:
    complaints = Complaints()
    script = "i=0; while [ $i -lt 2000 ]; do echo strace: Broken pipe; i=$((i+1)); done; exit 7"
    done = subprocess.run(["sh", "-c", f"({script}) 2>/dev/null"], stdout=complaints.descriptor, check=False)
    assert done.returncode == 7 != -signal.SIGXFSZ
    assert os.fstat(complaints.descriptor).st_size == SIZE
    assert complaints.last() == "Broken pipe"
    complaints.close()
