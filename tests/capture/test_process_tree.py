"""Which threads and processes belong to a job."""

from __future__ import annotations

import os
import signal
import subprocess

from systrace.capture.process_tree import descendants, threads, tree


def test_a_tree_is_its_threads_and_those_of_its_descendants() -> None:
    script = "sleep 60 & sh -c 'sleep 60 & echo $$ $!; wait' & echo $!; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True) as top:
        assert top.stdout is not None
        words = {int(word) for _ in range(2) for word in top.stdout.readline().split()}
        found = list(tree(top.pid, -1))
        assert found[0] == top.pid
        assert words < set(found)
        below = descendants(top.pid)
        assert {each.pid for each in below} == set(found) - {top.pid}
        os.killpg(top.pid, signal.SIGKILL)
    assert threads(4194303) == []
    assert descendants(4194303) == []
    assert os.getpid() in threads(os.getpid())
