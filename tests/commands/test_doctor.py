"""`systrace doctor` on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.real


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "systrace", "doctor", *arguments], capture_output=True, text=True, check=False
    )


def test_text_and_json_tell_the_same() -> None:
    text, data = doctor(), doctor("--json")
    checks = [json.loads(line) for line in data.stdout.splitlines()]
    assert text.returncode == data.returncode == any(check["level"] == "fault" for check in checks)
    assert {"strace", "ptrace", "pidfd_getfd", "kernel", "keepalive"} <= {check["name"] for check in checks}
    for check in checks:
        assert check["name"] in text.stdout
        if check["level"] != "ok" and check["mend"]:
            assert f"mend: {check['mend']}" in text.stdout


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs a tracer to run under")
def test_under_a_tracer_it_names_that_one() -> None:
    tracer = ["strace", "-f", "-qq", "-e", "trace=none", "-o", os.devnull]
    command = [*tracer, sys.executable, "-m", "systrace", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    found = {check["name"]: check for check in map(json.loads, done.stdout.splitlines())}
    assert re.fullmatch(r"systrace itself runs under process \d+ \(strace\), .*", found["tracing"]["found"])
    assert "docker" not in found["tracing"]["mend"]
