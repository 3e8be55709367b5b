"""What the benchmarks measure is what they say."""

import json
import subprocess
import sys
from pathlib import Path

from systrace.tracers import TRACERS

ROOT = Path(__file__).resolve().parents[1]


def test_bench_tracers_measures_every_way_of_running_a_job() -> None:
    """Each tracer that can be used here beside the bare job, which has no recording."""
    bench = [sys.executable, str(ROOT / "scripts" / "bench_tracers"), "--rounds", "1", "--scale", "0.02", "--json"]
    done = subprocess.run([*bench, "--job", "conn", "--job", "pipes"], capture_output=True, check=True, text=True)
    rows = json.loads(done.stdout)
    assert list(rows) == ["conn", "pipes"]
    usable = {f"run, {name}" for name in TRACERS if TRACERS[name].unavailable() is None}
    for ways in rows.values():
        assert usable <= set(ways)
        assert all(ways[name]["wall"] > 0 and ways[name]["after"] > 0 for name in ways)
        assert {name for name in ways if not ways[name]["size"]} == {"bare"}
    assert all(rows["conn"][name]["size"] > 80 * 50 for name in usable)  # 80 connects, a line each at the least


def test_the_log_of_bench_parse_is_a_log() -> None:
    """Every line is understood, every exchange is decoded, and nothing is wrong: the long way through all stages."""
    emit = [sys.executable, str(ROOT / "scripts" / "bench_parse"), "--emit", "3"]
    log = subprocess.run(emit, capture_output=True, check=True).stdout
    parse = [sys.executable, "-m", "systrace", "parse", "--format", "json", "-"]
    report = json.loads(subprocess.run(parse, input=log, capture_output=True, check=True).stdout)
    assert report["verdict"]["outcome"] == "healthy"
    assert (report["health"]["unparsed"], report["health"]["clipped_strings"]) == (0, 0)
    assert report["health"]["lines"] == log.count(b"\n")
    assert [socket["protocol"] for socket in report["sockets"]] == ["http"] * 3
    answers = [each for each in report["messages"] if each["summary"].startswith("200 OK")]
    assert all(each["complete"] for each in report["messages"])
    assert len(answers) >= 3 * 10  # of each connection's 20, as many as are kept


def test_its_file_work_is_a_log_too() -> None:
    """Of which nothing is a fault, and the larger part is rejected by name."""
    emit = [sys.executable, str(ROOT / "scripts" / "bench_parse"), "--emit-files", "0.3"]
    log = subprocess.run(emit, capture_output=True, check=True).stdout
    parse = [sys.executable, "-m", "systrace", "parse", "--format", "json", "-"]
    report = json.loads(subprocess.run(parse, input=log, capture_output=True, check=True).stdout)
    assert report["verdict"]["outcome"] == "healthy"
    assert report["health"]["unparsed"] == 0
    assert report["health"]["lines"] == log.count(b"\n")
