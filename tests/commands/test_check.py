"""`systrace check` and `systrace sink` on loopback: options, files, Ctrl-C, exit statuses."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.observations import read

SYSTRACE = [sys.executable, "-m", "systrace"]
SAMPLE = Path(__file__).resolve().parents[2] / "samples" / "refused-postgres" / "trace.strace"


def systrace(*words: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*SYSTRACE, *map(str, words)], capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def sink() -> Iterator[str]:
    """The address of a `systrace sink`."""
    argv = [*SYSTRACE, "sink", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[2].rstrip(";")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGINT


@pytest.fixture
def closed() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def log(tmp_path: Path, closed: int) -> Path:
    """A recording whose accused is a closed port of this host."""
    path = tmp_path / "job.strace"
    path.write_text(
        f"""9 1700000000.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000001>
9 1700000000.500000 connect(3, {{sa_family=AF_INET, sin_port=htons({closed}), sin_addr=inet_addr("127.0.0.1")}}, 16) \
= -1 ECONNREFUSED (Connection refused) <0.001>
9 1700000000.600000 exit_group(1) = ?
9 1700000000.700000 +++ exited with 1 +++
"""
    )
    path.chmod(0o640)
    return path


def test_the_time_is_told_first_and_the_status_is_the_answer(sink: str, closed: int) -> None:
    fine, found = systrace("check", sink), systrace("check", f"127.0.0.1:{closed}")
    assert (fine.returncode, found.returncode) == (0, 1)
    assert fine.stderr.startswith("systrace: at most ")
    assert fine.stdout.startswith(f"{sink}: healthy: ")
    assert found.stdout.startswith(f"127.0.0.1:{closed}: connect-refused: ")


def test_what_was_found_is_added_to_the_recording(log: Path, tmp_path: Path) -> None:
    """Its mode stays, and so does its verdict."""
    before = systrace("parse", "--format", "json", log)
    facts = tmp_path / "facts"
    done = systrace("check", log, "--add", "--save-facts", facts)
    after = systrace("parse", "--format", "json", log)
    assert done.returncode == 1, done.stderr
    assert log.read_text().splitlines()[-1].startswith('# systrace: {"observation": ')
    assert stat.S_IMODE(log.stat().st_mode) == 0o640
    first, then = (json.loads(each.stdout)["verdict"] for each in (before, after))
    assert then.pop("headline").startswith(first.pop("headline"))
    assert then == first
    (fact,) = read(facts)
    assert (fact.kind, fact.value["cause"]) == ("peer-listens", "connect-refused")
    assert stat.S_IMODE(facts.stat().st_mode) == 0o600


def test_nothing_is_added_to_what_is_no_plain_text(log: Path, tmp_path: Path) -> None:
    packed, torn = tmp_path / "job.strace.gz", tmp_path / "torn.strace"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    torn.write_bytes(log.read_bytes()[:-3])
    for path, why in ((packed, "compressed"), (torn, "no end"), ("127.0.0.1:1", "one LOG")):
        done = systrace("check", path, "--add")
        assert (done.returncode, done.stdout) == (2, "")
        assert why in done.stderr
        assert "--save-facts" in done.stderr


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a network namespace needs root")
def test_a_log_of_another_host_is_told() -> None:
    """In a namespace with nothing but its loopback: no packet leaves this machine."""
    argv = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *SYSTRACE, "check", str(SAMPLE)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "recorded on a host with the address 192.0.2.10, which this one does not have" in done.stderr
    assert "unreachable" in done.stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("check", "nothing-here"), "no such log"),
        (("check", "--idle", "1", "127.0.0.1:1", "127.0.0.1:2"), "one peer at a time"),
        (("check", "127.0.0.1:1", "--format", "html"), "table or json"),
        (("check", "127.0.0.1:1", "--netns", "999999999"), "cannot enter"),
        (("check", SAMPLE.parents[1] / "healthy" / "trace.strace"), "accuses no peer"),
        (("sink", "--listen", "no-port"), "write PORT"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_one_line(words: tuple[str, ...], why: str) -> None:
    done = systrace(*words)
    assert done.returncode == 2
    assert why in done.stderr.splitlines()[-1]


def test_an_idle_test_that_is_interrupted_tells_what_it_knows(sink: str) -> None:
    with subprocess.Popen(
        [*SYSTRACE, "check", "--idle", "20", sink], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "Ctrl-C tells what is known" in process.stderr.readline()
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert "Traceback" not in err
    assert process.returncode == 128 + signal.SIGINT
    assert "not decided: silences of up to" in out


def test_an_idle_test_without_a_time_lasts_as_long_as_the_catalogue_wants(sink: str) -> None:
    with subprocess.Popen(
        [*SYSTRACE, "check", "--idle", sink], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "at most 383 s" in process.stderr.readline()
        process.kill()


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a network namespace needs root")
def test_another_process_s_namespace_is_entered(sink: str) -> None:
    """What this host's loopback answers, that of the namespace does not."""
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo in; exec sleep 60"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        done = systrace("check", sink, "--netns", process.pid)
        process.kill()
    assert done.returncode == 1
    assert "unreachable" in done.stdout
