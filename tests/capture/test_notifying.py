"""`--on-failure`: who is to be told hears all of it, and nothing that becomes of that concerns the job."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.capture import notifying
from systrace.capture.notifying import notify
from tests.commands.jobs import JOB, TRACERS, job, run, unharmed

REPORT = b"the report\n"


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_report_and_facts(tmp_path: Path) -> None:
    facts = {"job": "night", "status": "7", "peer": "odd \x1b[2J\n'\"$(x)", "recording": ""}
    command = f'cat > {tmp_path}/in; env -0 > {tmp_path}/env; cat "$SYSTRACE_REPORT" > {tmp_path}/copy'
    assert notify(command, REPORT, facts, tmp_path) is None
    assert (tmp_path / "in").read_bytes() == (tmp_path / "copy").read_bytes() == REPORT
    variables = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().split("\0")[:-1])
    assert variables["SYSTRACE_PEER"] == "odd \x1b[2J\n'\"$(x)"
    assert variables["SYSTRACE_REPORT"] == f"{tmp_path}/report"
    assert (variables["SYSTRACE_JOB"], variables["SYSTRACE_STATUS"]) == ("night", "7")
    assert variables["PATH"] == os.environ["PATH"]


def test_the_file_with_the_report_goes_and_is_private(tmp_path: Path) -> None:
    command = f'stat -c %a "$SYSTRACE_REPORT" > {tmp_path}/mode'
    assert notify(command, REPORT, {}, tmp_path) is None
    assert (tmp_path / "mode").read_text() == "600\n"
    assert not (tmp_path / "report").exists()


def test_a_report_that_is_a_file_already_is_named(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(REPORT)
    assert notify(f'test "$SYSTRACE_REPORT" = {tmp_path}/r', b"", {"report": f"{tmp_path}/r"}, tmp_path) is None
    assert (tmp_path / "r").read_bytes() == REPORT


def test_without_a_directory_there_is_standard_input(tmp_path: Path) -> None:
    assert notify(f"cat > {tmp_path}/in", REPORT, {}, None) is None
    assert (tmp_path / "in").read_bytes() == REPORT
    assert notify(f"cat > {tmp_path}/in", memoryview(REPORT), {}, None) is None  # part of a long answer
    assert (tmp_path / "in").read_bytes() == REPORT


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 0", None),
        ("exit 3", "--on-failure ended with 3"),
        ("no-such-program-4711 2>/dev/null", "--on-failure ended with 127"),
        ("kill -KILL $$", "--on-failure was killed by SIGKILL"),
        ("exec <&-; sleep 0.1", None),  # it does not read
        ("syntax ( error", "--on-failure ended with 2"),
    ],
)
def test_how_it_ends_is_said(command: str, said: str | None) -> None:
    assert notify(command, REPORT * 100_000, {}, None) == said


def test_what_it_prints_is_no_output_of_the_jobs(capfd: pytest.CaptureFixture[str]) -> None:
    assert notify("echo said; echo complained >&2", REPORT, {}, None) is None
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.split() == ["said", "complained"]


def test_one_that_does_not_end_is_ended_with_all_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "LONGEST_S", 0.3)
    monkeypatch.setattr(notifying, "GRACE_S", 0.3)
    command = (
        f"trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/pid; while :; do sleep 1; done' & wait; sleep 60"
    )
    said = notify(command, REPORT, {}, None)
    assert said == "--on-failure had not ended after 0 s and was stopped"
    pid = int((tmp_path / "pid").read_text())
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.01)


# ----------------------------------------------------------------------------------------------------------- real jobs


@pytest.mark.real
@pytest.mark.parametrize("tracer", TRACERS)
def test_a_job_that_fails_is_told(tracer: str, tmp_path: Path) -> None:
    script = f"cat > {tmp_path}/in; env | grep ^SYSTRACE_ > {tmp_path}/env"
    saved = tmp_path / "t.gz"
    options: list[str | Path] = ["--tracer", tracer, "--save", saved, "--job", "night", "--on-failure", script]
    assert unharmed(job(*options)) == []
    variables = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    report = variables.pop("SYSTRACE_REPORT")
    assert variables.pop("SYSTRACE_TRACER") == "strace"  # of the tests themselves
    assert variables == {
        "SYSTRACE_JOB": "night", "SYSTRACE_STATUS": "7", "SYSTRACE_OUTCOME": "failed",
        "SYSTRACE_CAUSE": variables["SYSTRACE_CAUSE"], "SYSTRACE_PEER": "", "SYSTRACE_RECORDING": str(saved),
    }  # fmt: skip
    assert b"FAILED" in (tmp_path / "in").read_bytes()
    assert not Path(report).exists()


@pytest.mark.real
def test_a_verdict_that_is_bad_is_told_though_the_job_says_all_is_well(closed_port: int, tmp_path: Path) -> None:
    script = f'echo "$SYSTRACE_STATUS $SYSTRACE_OUTCOME $SYSTRACE_CAUSE $SYSTRACE_PEER" > {tmp_path}/said'
    code = f"import socket\ns = socket.socket()\ntry: s.connect(('127.0.0.1', {closed_port}))\nexcept OSError: pass"
    done = run("--on-failure", script, "--", "python3", "-c", code)
    assert done.returncode == 0
    status, _outcome, cause, peer = (tmp_path / "said").read_text().split()
    assert (status, cause, peer) == ("0", "connect-refused", f"127.0.0.1:{closed_port}")


@pytest.mark.real
def test_nobody_is_told_that_all_is_well(tmp_path: Path) -> None:
    assert run("--on-failure", f"touch {tmp_path}/told", "--", "true").returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real
@pytest.mark.parametrize(
    "command", ["exit 3", "kill -KILL $$", "no-such-program-4711", "echo noise", "cat /dev/zero | head -c 1"]
)
def test_what_becomes_of_it_is_not_the_jobs(command: str) -> None:
    done = run("--on-failure", command, *JOB, input=b"word\n")
    unharmed(done)


@pytest.mark.real
def test_a_job_that_runs_untraced_is_told_as_well(tmp_path: Path) -> None:
    """Nothing is known of its sockets; that it failed is."""
    done = run(
        "--on-failure", f"echo $SYSTRACE_STATUS:$SYSTRACE_OUTCOME > {tmp_path}/said", *JOB,
        input=b"word\n", env={**os.environ, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    unharmed(done)
    assert (tmp_path / "said").read_text() == "7:failed\n"
