"""`--metrics`: what node_exporter reads, whole at any moment."""

from __future__ import annotations

import shutil
import stat
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from systrace.telemetry import OUTLETS, JobRun
from systrace.telemetry.outlets.metrics import exposition, last_success
from tests.telemetry.conftest import HOSTILE

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: apt-get install prometheus")
NAMES = "failed duration_seconds exit_status longest_silence_seconds last_run_timestamp_seconds last_success_timestamp_seconds"


def samples(text: str) -> dict[str, tuple[dict[str, str], float]]:
    """Name -> labels and value, as Prometheus' own client reads them."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name.removeprefix("systrace_job_"): (sample.labels, sample.value) for sample in found}


def told(run: JobRun, path: Path) -> str:
    """The file, after it was told."""
    OUTLETS["metrics"].tell(run, str(path), b"")
    return path.read_text()


@promtool
def test_promtool_accepts_it(failed: JobRun, healthy: JobRun, hostile: JobRun) -> None:
    """Neither errors nor complaints, whatever the names."""
    for run in (failed, healthy, hostile):
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=exposition(run, 1.5), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_it_says(failed: JobRun, tmp_path: Path) -> None:
    """One sample of each, and no timestamps of samples, which the collector refuses."""
    text = told(failed, tmp_path / "x.prom")
    found = samples(text)
    assert set(found) == set(NAMES.split()) - {"last_success_timestamp_seconds"}
    assert found["failed"] == ({"job": "nightly", "cause": "idle-timeout", "peer": "203.0.113.10:80"}, 1)
    assert found["duration_seconds"] == ({"job": "nightly"}, 411.5)
    assert found["exit_status"][1] == 1
    assert found["longest_silence_seconds"][1] == 411.4
    assert found["last_run_timestamp_seconds"][1] == 1_700_000_500.25
    assert all(len(line.split("} ")[1].split()) == 1 for line in text.splitlines() if not line.startswith("#"))


def test_hostile_names_survive(hostile: JobRun, tmp_path: Path) -> None:
    """Quote, backslash and newline come back as they were; what a terminal obeys does not."""
    text = told(hostile, tmp_path / "x.prom")
    assert text.isascii()
    assert all(line.isprintable() for line in text.splitlines())
    shown = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u{202e}")
    assert samples(text)["failed"][0] == {"job": shown, "cause": "idle-timeout", "peer": f"unix:/{shown}"}


def test_the_last_success_is_remembered(healthy: JobRun, failed: JobRun, tmp_path: Path) -> None:
    """Over runs that fail; of this job only, and whatever stood in the file."""
    path = tmp_path / "x.prom"
    assert samples(told(healthy, path))["last_success_timestamp_seconds"][1] == healthy.ended_s
    later = replace(failed, ended_s=failed.ended_s + 60)
    for _ in range(2):
        found = samples(told(later, path))
        assert found["last_success_timestamp_seconds"][1] == healthy.ended_s
        assert found["last_run_timestamp_seconds"][1] == later.ended_s
    assert "last_success_timestamp_seconds" not in samples(told(replace(later, job="other"), path))
    for garbage in (b"", b"\xff\0" * 99, b'systrace_job_last_success_timestamp_seconds{job="nightly"} nan\n'):
        path.write_bytes(garbage)
        assert "last_success_timestamp_seconds" not in samples(told(failed, path))
    assert last_success(exposition(healthy, 12.5).encode(), healthy.job) == 12.5


def test_who_may_read_it(failed: JobRun, tmp_path: Path) -> None:
    """The collector is another user; a mode that somebody has set stays."""
    path = tmp_path / "x.prom"
    told(failed, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o640)
    told(failed, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["x.prom"]


def test_a_reader_never_sees_a_part(healthy: JobRun, tmp_path: Path) -> None:
    """1,000 reads while it is written again and again, once short, once long."""
    path = tmp_path / "x.prom"
    runs = [healthy, replace(healthy, peer="p" * 190, failed=True, longest_silence_s=1.0)]
    whole = {told(run, path) for run in [*runs, *runs]}
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for run in runs:
                told(run, path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {path.read_text() for _ in range(1000)}
    finally:
        stop.set()
        writer.join()
    assert seen <= whole
