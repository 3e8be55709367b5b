"""`parse --otlp URL`: what a log held goes to a collector, and the report and its status are what they were."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.commands.jobs import ROOT, SYSTRACE
from tests.telemetry.test_otlp import collector

SAMPLES = [ROOT / "samples" / name / "trace.strace" for name in ("hung-read", "refused-postgres", "healthy")]


def parse(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*SYSTRACE, "parse", *words], capture_output=True, check=False, timeout=100)


@pytest.mark.parametrize("more", [[], ["--format", "json"], ["--format", "otlp"]], ids=str)
def test_the_report_is_the_same(more: list[str]) -> None:
    """And exactly one POST was made."""
    before = parse(*more, SAMPLES[0])
    with collector() as (url, got):
        done = parse(*more, "--otlp", url, SAMPLES[0])
    assert (done.returncode, done.stdout, done.stderr) == (before.returncode, before.stdout, before.stderr)
    assert [each[:2] for each in got] == [("POST", "/v1/traces")]
    if "otlp" in more:
        assert got[0][3] == done.stdout


@pytest.mark.parametrize("more", [[], ["--each"], ["--jobs", "2"]], ids=str)
def test_each_recording_is_sent(more: list[str]) -> None:
    """One POST for each, however they are read."""
    with collector() as (url, got):
        done = parse(*more, "--otlp", url, *SAMPLES)
    assert done.returncode == 1
    assert done.stderr == b""
    names = {json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] for *_head, body in got}
    assert len(got) == len(names) == len(SAMPLES)


def test_a_hung_collector_is_asked_once() -> None:
    """Two seconds for all of them, one line, and the status of the report."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        done = parse("--otlp", f"http://127.0.0.1:{server.getsockname()[1]}", *SAMPLES)
        took = time.monotonic() - began
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("systrace: --otlp: http://127.0.0.1:")
    assert line.endswith("no answer within 2 s: the spans are lost")
    assert took < 10


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--otlp", "x"], "write a URL"), (["--otlp", "http://localhost", "--show-secrets"], "what is sent is masked")],
)
def test_what_makes_no_sense(words: list[str], said: str) -> None:
    """Is one line."""
    done = parse(*words, SAMPLES[0])
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
