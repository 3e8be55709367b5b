"""Our own tracers on real jobs: they run as they would without it, and nothing of them is missed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from systrace.errors import UsageError
from tests.tracers.embedded_job import REAL, Chosen, ended, python, run, traced

pytestmark = [*REAL, pytest.mark.usefixtures("each_tracer")]


def test_every_thread_is_traced(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = python("""
        import socket, threading
        server = socket.create_server(("127.0.0.1", 0), backlog=200)
        def work():
            for _ in range(20):
                socket.create_connection(server.getsockname()).close()
        threads = [threading.Thread(target=work) for _ in range(6)]
        [t.start() for t in threads]; [t.join() for t in threads]
    """)
    assert run(job, trace) == 0
    text = trace.read_text()
    per_thread = Counter(re.findall(r"^(\d+) [\d.]+ connect\(", text, re.MULTILINE))
    assert sorted(per_thread.values()) == [20] * 6
    assert text.count("+++ exited with 0 +++") == 7


# ------------------------------------------------------------------------------------------------- the job is unharmed


@pytest.mark.parametrize("seccomp", [True, False])
@pytest.mark.parametrize(
    ("script", "status", "last"),
    [
        ("exit 0", 0, "+++ exited with 0 +++"),
        ("exit 1", 1, "+++ exited with 1 +++"),
        ("exit 137", 137, "+++ exited with 137 +++"),
        ("kill -KILL $$", 137, "+++ killed by SIGKILL +++"),
        ("kill -TERM $$", 143, "+++ killed by SIGTERM +++"),
        ("ulimit -c 0; kill -SEGV $$", 139, "+++ killed by SIGSEGV +++"),
    ],
)
def test_the_exit_status_is_the_jobs(script: str, status: int, last: str, seccomp: bool, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert run(["/bin/sh", "-c", script], trace, seccomp=seccomp) == status
    assert trace.read_text().splitlines()[-1].endswith(last)
    assert trace.stat().st_mode & 0o777 == 0o600


REPORT = """
    import json, os, signal, sys
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
    facts = {
        "cwd": os.getcwd(), "group": os.getpgrp(), "session": os.getsid(0), "umask": os.umask(0),
        "environment": repr(open("/proc/self/environ", "rb").read()), "stdin": sys.stdin.read(),
        "descriptors": {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if int(n) != 3},
        **{key: status[key].strip() for key in ("SigBlk", "NoNewPrivs")},
        "SigIgn": int(status["SigIgn"], 16) & ~(3 << 31),  # posix_spawn(3) ignores two that belong to the C library
    }
    print(json.dumps(facts, sort_keys=True))
"""


def test_the_job_finds_what_it_would_find_untraced(tmp_path: Path) -> None:
    """Environment, directory, group, standard streams, inherited descriptors, signals."""
    driver = tmp_path / "driver.py"
    driver.write_text(
        textwrap.dedent("""
            import os, signal, subprocess, sys
            sys.path[:0] = sys.argv[1].split(":")
            from pathlib import Path
            from systrace.tracers import Request, TRACERS
            command = sys.argv[4:]
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            if sys.argv[2] == "bare":
                sys.exit(subprocess.run(command, close_fds=False).returncode)
            with TRACERS[sys.argv[3]].run(command, Request(Path(sys.argv[2]), frozenset({"execve"}))) as capture:
                sys.exit(capture.wait())
        """)
    )
    answers = []
    lock = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(lock, True)
    for mode in ("bare", str(tmp_path / "trace")):
        words = [sys.executable, "-I", str(driver), ":".join(sys.path), mode, Chosen.tracer.name, *python(REPORT)]
        environment = {"A": "1", "EMPTY": "", "ODD": "\udcff=x\n", "PYTHONPATH": "/nonexistent", "LANG": "C.UTF-8"}
        done = subprocess.run(
            words, input=b"input", stdout=subprocess.PIPE, env=environment, cwd="/usr", pass_fds=(lock,), check=True
        )
        answers.append(re.sub(rb'"(group|session)": \d+|pipe:\[\d+\]', b"", done.stdout))
    os.close(lock)
    assert answers[1] == answers[0]


def test_standard_output_ends_with_the_job_and_not_with_the_tracer(tmp_path: Path) -> None:
    """A reader of the job's output sees its end although a traced child goes on."""
    reader, writer = os.pipe()
    saved = os.dup(1)
    os.dup2(writer, 1)
    try:
        stop, hold = os.pipe()
        os.set_inheritable(stop, True)
        with traced(
            ["/bin/sh", "-c", f"echo job; cat <&{stop} >/dev/null 2>&1 & exit 6"], tmp_path / "trace"
        ) as capture:
            os.dup2(saved, 1)
            os.close(writer)
            assert capture.wait(30) == 6
            with os.fdopen(reader, "rb") as text:
                assert text.read() == b"job\n"
            os.close(hold)
            ended(capture.tracer_pid)
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(stop)
    assert (tmp_path / "trace").read_text().count("+++ exited") == 2


def test_set_uid_programs_keep_their_rights_under_a_tracer_with_rights(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        assert Chosen.tracer.unavailable() is None
        return
    program = tmp_path / "id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_mode & 0o001 == 0:
            directory.chmod(directory.stat().st_mode | 0o011)
    answer = tmp_path / "answer"
    answer.touch(0o666)
    answer.chmod(0o666)
    job = ["/bin/sh", "-c", f"setpriv --reuid=65534 --clear-groups {program} -u > {answer}"]
    assert run(job, tmp_path / "trace") == 0
    assert answer.read_text() == "0\n"


def test_a_job_that_cannot_be_executed_is_an_error_of_usage(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    for path, reason in ((tmp_path / "missing", "No such file"), (plain, "Permission denied"), (tmp_path, "denied")):
        with pytest.raises(UsageError, match=reason), traced([str(path)], tmp_path / "trace"):
            pass


def test_a_script_without_interpreter_line_runs_in_the_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("exit 11\n")
    script.chmod(0o755)
    assert run([str(script)], tmp_path / "trace") == 11


# ------------------------------------------------------------------------------------------------------------- signals

DRIVER = """
    import signal, sys
    sys.path[:0] = {path!r}
    from pathlib import Path
    from systrace.tracers import Request, TRACERS
    with TRACERS["{tracer}"].run(sys.argv[2:], Request(Path(sys.argv[1]), frozenset({{"execve", "rt_sigreturn"}}))) as capture:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("ready", flush=True)
        sys.exit(capture.wait())
"""


def test_ctrl_c_reaches_the_job_and_its_answer_is_its_status(tmp_path: Path) -> None:
    job = python("""
        import signal, sys
        def leave(*_):
            sys.exit(42)
        signal.signal(signal.SIGINT, leave)
        print("armed", flush=True)
        while True:
            signal.pause()
    """)
    driver = [*python(DRIVER.format(path=sys.path, tracer=Chosen.tracer.name)), str(tmp_path / "trace"), *job]
    with subprocess.Popen(driver, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert {process.stdout.readline(), process.stdout.readline()} == {b"ready\n", b"armed\n"}
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 42
    assert "--- SIGINT {si_signo=SIGINT, si_code=SI_USER," in (tmp_path / "trace").read_text()


def test_a_stopped_job_stays_stopped_until_it_is_continued(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = python("""
        import os, signal, time
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(5)
        _, status = os.waitpid(child, os.WUNTRACED)
        assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP
        assert open(f"/proc/{child}/stat").read().rpartition(")")[2].split()[0] in "Tt"
        os.kill(child, signal.SIGCONT)
        _, status = os.waitpid(child, os.WCONTINUED)
        _, status = os.waitpid(child, 0) if os.WIFCONTINUED(status) else (0, status)
        os._exit(os.WEXITSTATUS(status))
    """)
    assert run(job, trace) == 5
    text = trace.read_text()
    assert "--- stopped by SIGSTOP ---" in text
    if Chosen.tracer.stops:  # the kernel delivers a signal that is ignored to a tracer alone
        assert "--- SIGCONT {si_signo=SIGCONT, si_code=SI_USER" in text
    assert "WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP" in text


def test_signals_to_the_job_pass_through_the_capture(tmp_path: Path) -> None:
    with traced(["/bin/sleep", "1000"], tmp_path / "trace") as capture:
        assert capture.wait(0.01) is None
        assert capture.fault() is None
        capture.signal(signal.SIGTERM)
        assert capture.wait(30) == 143
        ended(capture.tracer_pid)
    assert "+++ killed by SIGTERM +++" in (tmp_path / "trace").read_text()
