"""What Tab completes: asked as the shells ask, and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.reporters import REPORTERS
from systrace.rules.pages import pages

BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(Path.cwd())}
pytestmark = pytest.mark.skipif(not (BIN / "systrace").exists(), reason="systrace is not installed in this environment")


def completed(*words: str) -> list[str]:
    """What bash's completion function would be given for the last word."""
    line = " ".join(["systrace", *words])
    question = {"_SYSTRACE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    done = subprocess.run(["systrace"], env=ENVIRONMENT | question, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A script that runs: its number and name."""
    script = tmp_path / f"tab_job_{os.getpid()}.sh"
    script.write_text("echo up\nread line\n")
    with subprocess.Popen(["sh", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid, script.name
        process.kill()


@pytest.mark.parametrize("command", ["run", "attach", "parse", "requests"])
def test_formats(command: str) -> None:
    assert completed(command, "--format", "") == list(REPORTERS)
    assert completed(command, "--format", "js") == ["json"]


@pytest.mark.parametrize("command", ["run", "attach"])
def test_tracers(command: str) -> None:
    assert completed(command, "--tracer", "") == ["auto", "ebpf", "embedded", "strace"]


def test_causes() -> None:
    assert completed("explain", "") == [*pages(), "terms"]
    assert completed("explain", "slow-c") == ["slow-connect"]
    assert completed("explain", "nothing-such") == []


def test_sub_commands_and_options_as_before() -> None:
    assert completed("att") == ["attach"]
    assert "--wait-for" in completed("attach", "--w")


@pytest.mark.parametrize("command", ["attach", "keepalive"])
def test_processes_by_number(command: str, job: tuple[int, str]) -> None:
    assert str(job[0]) in completed(command, "")
    assert str(job[0]) in completed(command, str(job[0])[:2])
    assert str(os.getpid()) not in completed(command, "")  # who started systrace is not what hangs


def test_processes_by_name(job: tuple[int, str]) -> None:
    assert completed("attach", "--name", job[1][:9]) == [job[1]]


def test_names_of_processes_are_shown_where_the_shell_can(job: tuple[int, str]) -> None:
    question = {"_SYSTRACE_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "systrace attach "}
    done = subprocess.run(["systrace"], env=ENVIRONMENT | question, capture_output=True, text=True, check=True)
    assert f'"{job[0]}":"{job[1]} sh"' in done.stdout


def test_a_hostile_name_is_no_completion(tmp_path: Path) -> None:
    script = tmp_path / "hostile$(touch pwned);\x1b[2J 'x.sh"
    script.write_text("echo up\nread line\n")
    with subprocess.Popen(["sh", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert completed("attach", "--name", "hostile") == []
        question = {"_SYSTRACE_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "systrace attach "}
        done = subprocess.run(["systrace"], env=ENVIRONMENT | question, capture_output=True, text=True, check=True)
        process.kill()
    assert f'"{process.pid}":"sh"' in done.stdout
    assert "hostile" not in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_in_a_real_bash(job: tuple[int, str], tmp_path: Path) -> None:
    """The script that --install-completion leaves, sourced; Tab calls the function that it registered."""
    home = {**ENVIRONMENT, "HOME": str(tmp_path), "SHELL": "/bin/bash"}
    subprocess.run(["bash", "-c", "systrace --install-completion; :"], env=home, check=True, capture_output=True)
    (installed,) = tmp_path.rglob("systrace.sh")
    assert str(installed) in (tmp_path / ".bashrc").read_text().replace("~", str(tmp_path))
    script = f"""
    source {installed}
    function="$(complete -p systrace | sed 's/.* -F \\([^ ]*\\) .*/\\1/')"
    tab() {{
        COMP_WORDS=(systrace "$@"); COMP_CWORD=$#; COMPREPLY=()
        "$function" systrace "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
        printf '%s\\n' "${{COMPREPLY[*]}}"
    }}
    tab explain slow-con
    tab attach --format js
    tab attach --name {job[1][:9]}
    tab att
    """
    done = subprocess.run(["bash", "--norc", "-c", script], env=home, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n") == ["slow-connect", "json", job[1], "attach", ""], done.stderr
