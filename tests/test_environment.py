"""scripts/environment: nobody waits in the dark while pip works, and what pip says when it fails can be read."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
pytestmark = pytest.mark.real


def start(script: str, tmp_path: Path, *words: str | Path) -> subprocess.Popen[str]:
    """A shell that has sourced scripts/environment, as scripts/try does."""
    whole = f'. "$(dirname "$0")/environment"\n{script}'
    return subprocess.Popen(
        ["sh", "-c", whole, str(ROOT / "scripts" / "try"), *map(str, words)],
        env={**os.environ, "HEARTBEAT_SECONDS": "1", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A named pipe on which a command waits."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def test_a_long_step_is_announced_and_says_how_far_it_is(tmp_path: Path, gate: Path) -> None:
    script = "busy 'doing it (once)' sh -c 'echo step one; echo WARNING: noise; read line <\"$0\"' \"$1\" && echo done"
    with start(script, tmp_path, gate) as shell:
        assert shell.stderr is not None
        assert shell.stderr.readline() == "doing it (once)\n"
        assert shell.stderr.readline() == "  ... 1 s: step one\n"
        assert shell.stderr.readline() == "  ... 2 s: step one\n"
        gate.write_text("go\n")
        out, err = shell.communicate(timeout=60)
    assert (shell.returncode, out) == (0, "done\n")
    assert not [line for line in err.splitlines() if not line.startswith("  ... ")]
    assert list(tmp_path.iterdir()) == [gate]


def test_a_step_that_fails_says_why(tmp_path: Path) -> None:
    script = "busy 'doing it' sh -c 'seq 100; echo ERROR: no such package >&2; exit 7' || tell"
    with start(script, tmp_path) as shell:
        out, err = shell.communicate(timeout=60)
    assert (shell.returncode, out) == (2, "")
    lines = [line for line in err.splitlines() if not line.startswith("  ... ")]
    assert lines[0] == "doing it"
    assert lines[-3:-1] == ["    100", "    ERROR: no such package"]
    found = re.fullmatch(r".*/try: failed: doing it \(all that was said is in (.+)\)", lines[-1])
    assert found is not None
    assert Path(found[1]).read_text().splitlines()[0] == "1"


def test_nothing_beats_on_when_the_script_was_killed(tmp_path: Path, gate: Path) -> None:
    with start("busy 'doing it' sh -c 'read line <\"$0\"' \"$1\"", tmp_path, gate) as shell:
        assert shell.stderr is not None
        while "... 1 s" not in shell.stderr.readline():
            assert shell.poll() is None
        shell.send_signal(signal.SIGKILL)
        shell.wait()
        shell.communicate(timeout=60)  # the end of standard error: nobody has it any more
    gate.write_text("go\n")
    assert shell.returncode == -signal.SIGKILL


def test_pip_that_finds_nothing_is_said_in_words(tmp_path: Path) -> None:
    """The real pip, in a copy of the project, with no place to install from."""
    project = tmp_path / "project"
    project.mkdir()
    for name in ("scripts", "systrace"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project / name)
    nothing = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PYTHON": sys.executable, "TMPDIR": str(tmp_path)}
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | nothing
    for script, step in (("try", "installing systrace and"), ("test", "packages for the tests into .venv (once)")):
        done = subprocess.run(
            [project / "scripts" / script], env=variables, capture_output=True, text=True, check=False, timeout=110
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert step in done.stderr
        assert "    ERROR: " in done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"{project}/scripts/{script}: failed: installing ")
        assert "Traceback" not in done.stderr


def test_the_readme_installs_into_an_environment_of_its_own() -> None:
    """Debian's Python refuses others (PEP 668); sh can read the commands."""
    commands = re.findall(r"^    (.*\bpipx? install .*?)(?:  +#.*)?$", README, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert "pipx install ." in command or ("-m venv" in command and "/bin/pip install ." in command)
        subprocess.run(["sh", "-n", "-c", command], check=True)
    assert not re.search(r"^ +pip3? install", README, re.MULTILINE)
