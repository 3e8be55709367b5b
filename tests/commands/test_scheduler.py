"""`parse --scheduler` on a Dask cluster of two workers, one of which dies; where distributed is installed."""

from __future__ import annotations

import gzip
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.fleet.parts import SUFFIX, live_parts
from systrace.fleet.tables import TABLES
from tests.fleet.logs import fleet

there = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="no distributed: extra `fleet`")
CLUSTER = """
import os, signal, sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, cluster.workers[0].pid, flush=True)
        sys.stdin.read()
"""


def parse(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "systrace", "parse", *map(str, words)]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=100, env=os.environ | {"LC_ALL": "C.UTF-8"}
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, int]]:
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    process = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    address, pid = process.stdout.readline().split()
    yield address, int(pid)
    process.stdin.close()
    process.wait(timeout=60)
    process.stdout.close()


def rows(out: Path) -> list[bytes]:
    found: list[bytes] = []
    for part in live_parts(out):
        for name in TABLES:
            found += gzip.decompress((out / name / f"part-{part}{SUFFIX}").read_bytes()).splitlines()
    return sorted(found)


@there
@pytest.mark.real
def test_the_same_rows_though_a_worker_dies(cluster: tuple[str, int], tmp_path: Path) -> None:
    address, pid = cluster
    fleet(tmp_path / "logs", 60)
    argv = [sys.executable, "-m", "systrace", "parse", str(tmp_path / "logs"), "-r", "--scheduler", address]
    process = subprocess.Popen([*argv, "--into", str(tmp_path / "dask")], stdout=subprocess.PIPE, text=True)
    journals = tmp_path / "dask" / "state"
    while process.poll() is None and not any(each.stat().st_size > 20_000 for each in journals.glob("*.journal")):
        time.sleep(0.01)
    os.kill(pid, 9)
    told, _ = process.communicate(timeout=100)
    assert (process.returncode, "180 recordings" in told) == (1, True)
    parse(tmp_path / "logs", "-r", "--jobs", 2, "--into", tmp_path / "own")
    assert rows(tmp_path / "dask") == rows(tmp_path / "own")


@there
@pytest.mark.parametrize("address", ["nonsense://x", "tcp://127.0.0.1:1", "tcp://127.0.0.1:99999", "127.0.0.1:8786"])
def test_no_scheduler_there_is_one_line(address: str, tmp_path: Path) -> None:
    fleet(tmp_path, 1)
    done = parse(tmp_path, "-r", "--scheduler", address)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_without_distributed_it_says_what_to_install(tmp_path: Path) -> None:
    """Installed or not: the interpreter is told that it is not there."""
    fleet(tmp_path, 1)
    without = "import sys; sys.modules['distributed'] = None; from systrace.__main__ import main; main()"
    argv = [sys.executable, "-c", without, "parse", str(tmp_path), "-r", "--scheduler", "tcp://127.0.0.1:1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "systrace: distributed is not installed: pip install 'systrace[fleet]'\n"
