"""`systrace alarms`."""

from __future__ import annotations

import subprocess

import pytest

from systrace.telemetry import ALARMS
from tests.commands.jobs import SYSTRACE


def alarms(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SYSTRACE, "alarms", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", list(ALARMS))
def test_it_prints_a_style(name: str) -> None:
    done = alarms(f"--{name}")
    assert (done.returncode, done.stdout, done.stderr) == (0, ALARMS[name].text(), "")


@pytest.mark.parametrize("words", [(), ("--prometheus", "--insights"), ("--nagios",), ("x",)], ids=str)
def test_one_style_it_has_to_be(words: tuple[str, ...]) -> None:
    done = alarms(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("systrace: ")
