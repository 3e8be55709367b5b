"""Options that come from a folder of plug-ins."""

from __future__ import annotations

import subprocess
import sys

import pytest

from systrace.telemetry import OUTLETS
from tests.commands.jobs import SYSTRACE

LOADED = """
import atexit, runpy, sys
atexit.register(lambda: print([name for name in sys.modules if name.startswith("systrace.telemetry")]))
sys.argv[0] = "systrace"
runpy.run_module("systrace", run_name="__main__")
"""


def test_each_outlet_is_an_option_of_run() -> None:
    """With what it takes."""
    done = subprocess.run([*SYSTRACE, "run", "--help"], capture_output=True, text=True, check=True)
    for name, outlet in OUTLETS.items():
        assert f"--{name} {outlet.takes}".strip() in done.stdout
    assert done.stdout.rstrip().endswith("Show this message and exit.")


@pytest.mark.real
def test_a_plain_start_does_not_look_for_them() -> None:
    """The job waits for it."""
    argv = [sys.executable, "-c", LOADED, "run", "--quiet-if-healthy", "--job", "x", "--", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics"], "option '--metrics' requires an argument"),
        (["--syslog=x", "true"], "'--syslog'"),
        (["--metric", "x", "true"], "no such option: --metric (Possible options: --metrics"),
    ],
)
def test_wrong_usage_is_one_line(words: list[str], said: str) -> None:
    """As of every other option."""
    done = subprocess.run([*SYSTRACE, "run", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


@pytest.mark.real
def test_they_stand_before_others_that_may_stand_alone(tmp_path: object) -> None:
    """`--stall-kill` finds its place behind an option with a value."""
    words = ["--stall", "9m", "--metrics", f"{tmp_path}/x.prom", "--stall-kill", "--quiet-if-healthy", "true"]
    done = subprocess.run([*SYSTRACE, "run", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
