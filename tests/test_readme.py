"""What README.md says, done: its two commands, its outputs, its options, its example."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"^(?:    |\$ )(systrace .+?)(?: +#.*)?$", README, re.MULTILINE)))
STAMP = ROOT / ".venv" / "installed-tools"

FAKE_VENV = "this environment was not made by scripts/test: scripts/try would install into it"


@cache
def help_of(*command: str) -> str:
    """The help of a command; its status must be 0."""
    argv = [sys.executable, "-m", "systrace", *command, "--help"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_it_opens_with_the_two_commands() -> None:
    """They come before any other word, they are there, and sh can read them."""
    assert README.split("\n", 4)[2].split()[0] == "scripts/try"
    assert README.split("\n", 4)[3].split()[0] == "scripts/test"
    for name in ("scripts/try", "scripts/test", "scripts/environment", ".ci/run"):
        subprocess.run(["sh", "-n", ROOT / name], check=True)
    assert all(os.access(ROOT / name, os.X_OK) for name in ("scripts/try", "scripts/test", ".ci/run"))
    assert len(README.splitlines()) <= 150


@pytest.mark.real
@pytest.mark.skipif(not STAMP.exists() or Path(sys.prefix) != ROOT / ".venv", reason=FAKE_VENV)
def test_the_first_command_prints_a_verdict() -> None:
    """The job of samples/try fails on time, is left alone, and the report names why."""
    done = subprocess.run([ROOT / "scripts" / "try"], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0
    assert "nightly_export: no report today" in done.stderr
    report = " ".join(done.stderr.split())
    # curl's 6 s count from before its connect: on a loaded machine less is left for the answer
    assert re.search(r"FAILED: [^\[]* exit status 1 \S+ waited [56]\.\d+ s for the answer to its request", report)
    assert "[read-timeout/no-answer; proven]" in report
    assert done.stdout.endswith("(exit status 1: the job's own)\n")


def test_outputs_are_what_the_commands_print() -> None:
    """The ```console blocks, and the catalogue of causes."""
    argv = [sys.executable, str(ROOT / "scripts" / "generate_docs"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_options_exist(command: str) -> None:
    """Each sub-command and option that is named is one of systrace's."""
    own = command.split(" -- ")[0].split()[1:]
    known = help_of(own[0])
    for option in (word for word in own if word.startswith("--")):
        assert re.search(rf"(?<!\S){re.escape(option)}\b", known), f"{own[0]} has no {option}"


def test_every_sub_command_is_shown() -> None:
    """The list under Use is whole."""
    listed = re.findall(r"^  ([a-z]+)  ", help_of().split("Commands:")[1], re.MULTILINE)
    assert set(listed) == {command.split()[1] for command in COMMANDS}


def test_the_library_example_prints_what_it_says() -> None:
    """The Python block ends with its own output as a comment."""
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    code, said = block.rsplit("\n# ", 1)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == said


def test_exit_statuses_of_parse() -> None:
    """0, 1 and 2, as promised."""
    samples = {"samples/healthy/trace.strace": 0, "samples/hung-read/trace.strace": 1, "LICENSE": 2}
    for name, status in samples.items():
        argv = [sys.executable, "-m", "systrace", "parse", "--format", "json", name]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == status, name
        assert (json.loads(done.stdout)["schema"] == "systrace-report/1") if status < 2 else not done.stdout


def test_links_lead_somewhere() -> None:
    """Every relative link is a file of the project."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 3
    assert not [link for link in links if not (ROOT / link).exists()]
