"""What a process is called, on command lines and on real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from systrace.kernel import naming
from systrace.kernel.naming import find, goes_by, names_of, words_for

WAITING = "echo up\nread line\n"


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/bin/bash", "./nightly_export.sh", "-c"], "nightly_export.sh"),
        (["bash", "-eu", "-o", "pipefail", "/opt/jobs/nightly_export.sh"], "nightly_export.sh"),
        (["bash", "--rcfile", "rc", "x.sh"], "x.sh"),
        (["-bash"], "bash"),
        (["/usr/bin/php8.2", "-d", "memory_limit=1G", "-q", "export.php"], "export.php"),
        (["php", "-f", "lib/export.php"], "export.php"),
        (["java", "-Xmx1g", "-cp", "a.jar:b.jar", "-jar", "/opt/x.jar", "run"], "x.jar"),
        (["java", "-cp", "a.jar", "com.example.Export", "y"], "Export"),
        (["java", "com.example.Export"], "com.example.Export"),
        (["/venv/bin/python3.11", "-u", "-W", "ignore", "job.py"], "job.py"),
        (["python3", "-Im", "http.server"], "http.server"),
        (["perl", "-w", "-I", "lib", "--", "x.pl"], "x.pl"),
        (["node", "-r", "dotenv/config", "server.js"], "server.js"),
        (["ruby", "-Ilib", "x.rb"], "x.rb"),
        (["nginx: master process /usr/sbin/nginx -g daemon off;"], "nginx"),
        (["/usr/lib/postgresql/15/bin/postgres", "-D", "x"], "postgres"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_names_that_people_use(argv: list[str], name: str) -> None:
    assert name in words_for(argv)


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["bash", "-c", "./nightly_export.sh"], "nightly_export.sh"),  # a child runs it, and goes by it
        (["bash", "-ec", "x.sh"], "x.sh"),
        (["bash", "-o", "pipefail"], "pipefail"),
        (["vim", "nightly_export.sh"], "nightly_export.sh"),
        (["tail", "-f", "x.php"], "x.php"),
        (["python3", "-c", "x.py"], "x.py"),
        (["php", "-r", "x.php"], "x.php"),
        (["java", "-cp", "a.jar", "Export"], "a.jar"),
        (["perl", "-ne", "x.pl"], "x.pl"),
        (["node", "-e", "x.js"], "x.js"),
        ([], ""),
        ([""], ""),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_words_that_are_no_names(argv: list[str], name: str) -> None:
    assert name not in words_for(argv) - {""}


@pytest.mark.parametrize(
    ("name", "pattern", "same"),
    [
        ("job.sh", "job.sh", True),
        ("jobXsh", "job.sh", False),
        ("job.sh", "*.sh", True),
        ("job.sh", "job", False),
        ("job.sh", "JOB.SH", False),
        ("a+b(c)", "a+b(c)", True),
        ("aab", "a+b", False),
        ("[x]", "[x]", True),
        ("x", "[xy]", True),
        ("/opt/export/x.sh", "*export*", False),
        ("/opt/export/x.sh", "/opt/*/x.sh", True),
        ("caf\udce9", "caf?", True),
    ],
)
def test_patterns_are_globs_and_nothing_else(name: str, pattern: str, same: bool) -> None:
    assert goes_by(frozenset({name}), pattern) is same


@contextmanager
def running(*words: str | Path | bytes) -> Iterator[int]:
    """A process that waits for its standard input, once it says that it runs."""
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid
        process.kill()


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A script with a name that nobody else has, longer than the kernel's 15 bytes."""
    path = tmp_path / f"nightly_export_{os.getpid()}.sh"
    path.write_text(f"#!/bin/sh\n{WAITING}")
    path.chmod(0o755)
    return path


@pytest.mark.real
def test_a_script_is_found_however_it_was_started(job: Path) -> None:
    with running(job) as direct, running("sh", job) as shell:
        assert {named.pid for named in find(job.name).processes} == {direct, shell}
        assert {named.pid for named in find(f"*_{os.getpid()}.??").processes} == {direct, shell}
        assert {named.pid for named in find(str(job)).processes} == {direct, shell}
        assert find("nightly_export").processes == ()
    assert find(job.name).processes == ()


@pytest.mark.real
def test_a_subshell_belongs_to_its_family(job: Path) -> None:
    job.write_text("#!/bin/sh\n(echo up; read line; :)\n:\n")
    with running(job) as pid:
        assert len([each for each in naming._numbers() if goes_by(names_of(each), job.name)]) == 2
        assert [named.pid for named in find(job.name).processes] == [pid]


@pytest.mark.real
def test_neither_we_nor_who_started_us_nor_the_dead_are_found(tmp_path: Path, job: Path) -> None:
    for name in names_of(os.getpid()) | names_of(os.getppid()):
        assert not {os.getpid(), os.getppid()} & {named.pid for named in find(name).processes}
    job.write_text("#!/bin/sh\necho up\n")
    with subprocess.Popen([job], stdout=subprocess.DEVNULL) as dead:
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        assert names_of(dead.pid)
        assert find("nightly_export_").processes == ()


@pytest.mark.real
def test_hostile_names_are_only_compared(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\x1b[2J[a*.sh")
    path.write_text(WAITING)
    with running("sh", path) as pid:
        assert [named.pid for named in find(path.name).processes] == [pid]


@pytest.mark.real
def test_a_new_process_is_waited_for_and_an_old_one_with_its_family_is_not(job: Path) -> None:
    """The old one makes a subshell meanwhile, which goes by its name; the new one gets its own by execve."""
    old_job = job.read_text()
    job.write_text("#!/bin/sh\necho up\nread line\n(echo sub; read line; :)\n:\n")
    with subprocess.Popen([job], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as old:
        assert old.stdout is not None
        assert old.stdin is not None
        assert old.stdout.readline() == b"up\n"
        there = find(job.name).processes
        came: list[int] = []
        rounds = naming._rounds()
        waiter = threading.Thread(target=lambda: came.append(naming.wait_for(job.name, there).pid))
        waiter.start()
        old.stdin.write(b"go\n")
        old.stdin.flush()
        assert old.stdout.readline() == b"sub\n"
        for _ in range(3):
            next(rounds)  # time enough to take the subshell, if it were taken
        assert came == []
        job.write_text(old_job)
        words = [sys.executable, "-c", f"import os; os.execv('/bin/sh', ['sh', {str(job)!r}])"]
        with running(*words) as new:
            waiter.join(30)
            assert came == [new]
        old.kill()
