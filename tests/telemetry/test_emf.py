"""`--emf`: one line that CloudWatch Logs makes metrics of."""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from systrace.errors import SystraceError
from systrace.outputs import RefusedError
from systrace.telemetry import OUTLETS, JobRun
from systrace.telemetry.outlets.emf import dimension, event

# The schema at the end of the specification (CloudWatch_Embedded_Metric_Format_Specification), with the service's limits.
_NAME: dict[str, Any] = {"type": "string", "pattern": "^(.*)$", "minLength": 1}
_UNITS = (
    "Seconds Microseconds Milliseconds Bytes Kilobytes Megabytes Gigabytes Terabytes Bits Percent Count None".split()
)
_METRIC = {
    "type": "object",
    "required": ["Name"],
    "properties": {
        "Name": {**_NAME, "maxLength": 1024},
        "Unit": {"enum": _UNITS},
        "StorageResolution": {"enum": [1, 60]},
    },
    "additionalProperties": False,
}
_DIRECTIVE = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "properties": {
        "Namespace": {**_NAME, "maxLength": 1024},
        "Dimensions": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "minItems": 0, "maxItems": 30, "items": {**_NAME, "maxLength": 250}},
        },
        "Metrics": {"type": "array", "minItems": 0, "maxItems": 100, "items": _METRIC},
    },
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {"type": "array", "items": _DIRECTIVE},
            },
        }
    },
}


def check(line: bytes) -> dict[str, Any]:
    """The event, by the schema and what the specification says in words."""
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) <= 1 << 20
    assert line.isascii()
    found: dict[str, Any] = json.loads(line)
    jsonschema.validate(found, SCHEMA)
    for directive in found["_aws"]["CloudWatchMetrics"]:
        for name in {each for names in directive["Dimensions"] for each in names}:
            value = found[name]  # every target member is there, a dimension's is text
            assert isinstance(value, str)
            assert re.fullmatch(r"[!-9;-~](?:[ -~]{0,1022}[!-~])?", value), value
        for metric in directive["Metrics"]:
            assert isinstance(found[metric["Name"]], int | float)
    return found


def told(run: JobRun, path: Path) -> bytes:
    """What was added to a file."""
    before = path.read_bytes() if path.exists() else b""
    OUTLETS["emf"].tell(run, str(path), b"")
    after = path.read_bytes()
    assert after.startswith(before)
    return after[len(before) :]


def test_the_schema_accepts_it(failed: JobRun, healthy: JobRun, hostile: JobRun, tmp_path: Path) -> None:
    """Each run is a line at the end of the file."""
    for run in (failed, healthy, hostile):
        check(told(run, tmp_path / "emf.json"))
    found = check(told(failed, tmp_path / "emf.json"))
    assert found["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "systrace"
    assert found["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Job"], ["Job", "Cause"]]
    assert found["_aws"]["Timestamp"] == 1_700_000_500_250
    assert (found["Job"], found["Cause"], found["Failed"], found["LongestSilence"]) == (
        "nightly",
        "idle-timeout",
        1,
        411.4,
    )
    assert (found["Headline"], found["Evidence"]) == (failed.headline, list(failed.evidence))


def test_what_is_long_is_cut(failed: JobRun, tmp_path: Path) -> None:
    """One event is at most 1 MB, whatever the trace."""
    long = replace(
        failed, job="j" * 9999, headline="\u0430" * 9_999_999, evidence=("e" * 99_999,) * 9999, peer="p" * 99_999
    )
    check(told(long, tmp_path / "emf.json"))


def test_hostile_text_is_shown(hostile: JobRun) -> None:
    """And obeyed by nobody."""
    found = event(hostile)
    for text in (found["Peer"], found["Headline"], found["Host"], *found["Evidence"]):
        assert text.isprintable()


@pytest.mark.parametrize(
    ("text", "wanted"), [("", "-"), (" \n", "\\x0a"), (":a", "a"), ("é", "\\xe9"), ("::: ", "-"), ("a b", "a b")]
)
def test_dimensions(text: str, wanted: str) -> None:
    """CloudWatch takes ASCII, not blank, without a colon before it."""
    assert dimension(text) == wanted


def test_a_descriptor_gets_the_line_alone(failed: JobRun) -> None:
    """By its number."""
    reader, writer = os.pipe()
    try:
        OUTLETS["emf"].tell(failed, str(writer), b"")
        check(os.read(reader, 1 << 16))
        os.fstat(writer)  # it is the caller's, and stays open
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("target", ["1", "0", "-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_it_is_never_the_jobs_output(target: str) -> None:
    """Under whatever name."""
    with pytest.raises(RefusedError, match="the job's own standard"):
        OUTLETS["emf"].checked(target)


def test_no_room(failed: JobRun) -> None:
    """Is said."""
    with pytest.raises(OSError, match="cannot write /dev/full: No space left on device"):
        OUTLETS["emf"].tell(failed, "/dev/full", b"")


def test_several_jobs_share_a_file(failed: JobRun, tmp_path: Path) -> None:
    """Their lines do not mix."""
    path, long = tmp_path / "emf.json", replace(failed, evidence=("x" * 400,) * 20)

    def tell() -> None:
        for _ in range(20):
            OUTLETS["emf"].tell(long, str(path), b"")

    path.touch(0o600)
    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 80
    assert {check(line)["Job"] for line in lines} == {"nightly"}


def test_several_jobs_make_a_file(failed: JobRun, tmp_path: Path) -> None:
    """At the same moment: who comes second finds it there."""
    for number in range(20):
        path = tmp_path / f"{number}.json"
        barrier = threading.Barrier(4)

        def tell(path: Path = path, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            OUTLETS["emf"].tell(failed, str(path), b"")

        with ThreadPoolExecutor(4) as pool:
            for each in [pool.submit(tell) for _ in range(4)]:
                each.result()
        assert len([json.loads(line) for line in path.read_bytes().splitlines()]) == 4


def test_a_line_of_its_own(failed: JobRun, tmp_path: Path) -> None:
    """Also behind what somebody left without its end."""
    path = tmp_path / "emf.json"
    path.write_bytes(b'{"half')
    OUTLETS["emf"].tell(failed, str(path), b"")
    OUTLETS["emf"].tell(failed, str(path), b"")
    half, *events = path.read_bytes().splitlines()
    assert (half, len([json.loads(line) for line in events])) == (b'{"half', 2)


def test_a_pipe_without_a_reader_is_said(failed: JobRun, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    began = time.monotonic()
    with pytest.raises((OSError, SystraceError), match="cannot write"):
        OUTLETS["emf"].tell(failed, str(tmp_path / "pipe"), b"")
    assert time.monotonic() - began < 4


def test_a_slow_reader_is_not_waited_for_to_the_end(failed: JobRun, tmp_path: Path) -> None:
    """It takes a page each second; the event has ten."""
    path, done = tmp_path / "pipe", threading.Event()
    os.mkfifo(path)
    kept = os.open(path, os.O_RDWR)
    fcntl.fcntl(kept, fcntl.F_SETPIPE_SZ, 4096)

    def read() -> None:
        while not done.wait(1.0):
            os.read(kept, 4096)

    reader = threading.Thread(target=read)
    reader.start()
    began = time.monotonic()
    try:
        with pytest.raises((OSError, SystraceError)):
            OUTLETS["emf"].tell(replace(failed, evidence=("\u00e9" * 399,) * 20), str(path), b"")
        assert time.monotonic() - began < 4
    finally:
        done.set()
        reader.join()
        os.close(kept)
