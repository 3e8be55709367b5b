"""`systrace doctor` on this machine."""

from __future__ import annotations

import json
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
