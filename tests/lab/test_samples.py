"""The samples that are shipped: fit to be shown, and judged as they say."""

import json
import re
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
STORIES = sorted(path.parent for path in SAMPLES.glob("*/setup.json"))
DOCUMENTATION = [ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "127.0.0.0/8")]
ANYWHERE = ip_address("0.0.0.0")
LINES = 260  # a sample is read by people

each_story = pytest.mark.parametrize("story", STORIES, ids=lambda folder: folder.name)


@each_story
def test_fit_to_be_shown(story: Path) -> None:
    """Short, complete, and without a trace of the machine it was recorded on."""
    text = (story / "trace.strace").read_text()
    assert len(text.splitlines()) < LINES
    assert (story / "command.txt").read_text().count("\n") > 4
    assert (story / "job.sh").stat().st_mode & 0o111
    assert not re.search(r"/home/|/root|/tmp/|/etc/passwd", text)
    for quad in re.findall(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", text):
        address = ip_address(quad)
        assert address == ANYWHERE or any(address in net for net in DOCUMENTATION), quad


@each_story
def test_verdict_is_the_expected_one(story: Path) -> None:
    """`systrace parse` on the sample says what the sample's expected.json says."""
    argv = [sys.executable, "-m", "systrace", "parse", "--format", "json", str(story / "trace.strace")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    expected = json.loads((story / "expected.json").read_text())
    assert {key: report["verdict"][key] for key in expected} == expected
    assert done.returncode == (0 if expected["outcome"] == "healthy" else 1)
    for finding in report["findings"]:
        assert finding["evidence"]
