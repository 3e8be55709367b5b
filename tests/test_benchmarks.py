"""What the benchmarks measure is what they say."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


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
