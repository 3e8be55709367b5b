"""The job comes first: whatever stands in the way of recording or tracing it, it runs as without us."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.tracers.waiting import tracer_of
from tests.commands.conftest import User
from tests.commands.jobs import JOB, SYSTRACE, TRACERS, WITHOUT_EBPF, job, parsed, run, unharmed

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]
root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting and other users need root")
BROKEN_STRACES = {
    "exits with 1": "#!/bin/sh\nexit 1\n",
    "exits with 0": "#!/bin/sh\nexit 0\n",
    "crashes": "#!/bin/sh\nkill -SEGV $$\n",
    "is killed": "#!/bin/sh\nkill -KILL $$\n",
    "prints garbage": "#!/bin/sh\nhead -c 100000 /dev/urandom\n",
    "complains": "#!/bin/sh\necho 'strace: ptrace(PTRACE_TRACEME): Operation not permitted' >&2\nexit 1\n",
    "claims a version, then exits with 1": "#!/bin/sh\ntest x$1 = x-V && echo 'strace -- version 6.1' && exit\nexit 1\n",
    "claims a version, then crashes": "#!/bin/sh\ntest x$1 = x-V && echo 'strace -- version 6.1' && exit\nkill -SEGV $$\n",
    "claims a version, then prints garbage": (
        "#!/bin/sh\ntest x$1 = x-V && echo 'strace -- version 6.1' && exit\nhead -c 100000 /dev/urandom >&2\n"
    ),
    "does not trace": (
        "#!/bin/sh\ntest x$1 = x-V && echo 'strace -- version 6.1' && exit\n"
        'while [ "$1" != -- ]; do shift; done; shift; exec "$@"\n'
    ),
    "is too old": "#!/bin/sh\necho 'strace -- version 4.6'\n",
    "is no program": "no program at all, and no interpreter",
    "is empty": "",
    "is of another machine": "\x7fELF\x02\x01\x01" + "\0" * 57,
}


@contextlib.contextmanager
def mounted(directory: Path, *options: str) -> Iterator[Path]:
    """A file system of its own."""
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def fill(directory: Path) -> None:
    """Until nothing fits any more."""
    with contextlib.suppress(OSError), (directory / "big").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


@root
@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("option", ["--save", "--report", "--live", "--save-dir"])
def test_a_full_disk(option: str, tracer: str, tmp_path: Path) -> None:
    with mounted(tmp_path / "full", "-o", "size=64k") as full:
        name = full / "x.gz" if option != "--save-dir" else full
        fill(full)
        done = job("--tracer", tracer, option, name)
        said = unharmed(done)
        if option in ("--report", "--save", "--save-dir"):
            assert len(said) == 1
            assert "No space left on device" in said[0]
        assert b"FAILED" in done.stderr
        left = [path.name for path in full.iterdir() if path.name != "big"]
        assert left == (["x.gz"] if option == "--live" else [])


@root
@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("size", ["4k", "8k", "16k", "64k"])
def test_a_disk_that_fills_while_the_job_runs(tracer: str, size: str, tmp_path: Path) -> None:
    """What was recorded until then is kept and can be read."""
    many = "for i in 1 2 3 4 5 6 7 8 9 10; do for j in 1 2 3 4 5 6 7 8 9 10; do (exit 3); done; done; " * 5
    with mounted(tmp_path / "small", "-o", f"size={size}") as small:
        done = run(
            "--tracer", tracer, "--no-seccomp", "--save", small / "t", "--", "sh", "-c", f"{many} echo done; exit 7"
        )
        assert (done.returncode, done.stdout) == (7, b"done\n"), done.stderr
        assert b"disk full" in done.stderr or b"No space left on device" in done.stderr
        for path in small.iterdir():
            text = path.read_bytes()
            assert text.startswith(b"# systrace: ")
            assert text.endswith(b"\n")


@root
@pytest.mark.parametrize("tracer", TRACERS)
def test_no_room_for_temporary_files(tracer: str, tmp_path: Path) -> None:
    """Another place is found, and nobody hears of it."""
    with mounted(tmp_path / "full", "-o", "size=64k") as full:
        fill(full)
        assert unharmed(job("--tracer", tracer, env={**os.environ, "TMPDIR": str(full)})) == []
        assert [path.name for path in full.iterdir()] == ["big"]


NOWHERE = """
for directory in /tmp /var/tmp /dev/shm; do  # bound, not hidden: we may be installed there
    mount --bind $directory $directory && mount -o remount,bind,ro $directory || exit 99
done
unset XDG_RUNTIME_DIR
export TMPDIR="$1"
shift
exec "$@"
"""


@root
@pytest.mark.skipif(not shutil.which("unshare"), reason="util-linux is missing")
@pytest.mark.parametrize("temporary", ["/tmp", "/proc", "/nowhere", ""])
def test_no_place_for_temporary_files_at_all(temporary: str) -> None:
    words = ["unshare", "--mount", "--propagation=private", "sh", "-c", NOWHERE, "sh", temporary, *SYSTRACE, "run"]
    done = subprocess.run([*words, *JOB], input=b"word\n", capture_output=True, check=False, timeout=60)
    (said,) = unharmed(done)
    assert said.startswith("no place for temporary files (")
    assert said.endswith("); set TMPDIR: the job runs without being traced")
    done = subprocess.run([*words, "--strict", *JOB], input=b"word\n", capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1


@root
@pytest.mark.skipif(not shutil.which("unshare"), reason="util-linux is missing")
def test_room_beside_the_recording_is_enough(tmp_path: Path) -> None:
    """Where temporary files can't be, they are where the recording goes; and go from there."""
    directory = Path(tempfile.mkdtemp(dir="/run"))
    words = ["unshare", "--mount", "--propagation=private", "sh", "-c", NOWHERE, "sh", "/tmp", *SYSTRACE, "run"]
    try:
        words += ["--save", str(directory / "t.gz"), *JOB]
        done = subprocess.run(words, input=b"word\n", capture_output=True, check=False, timeout=60)
        assert unharmed(done) == []
        assert [path.name for path in directory.iterdir()] == ["t.gz"]
    finally:
        shutil.rmtree(directory)


@root
@pytest.mark.parametrize("tracer", TRACERS)
def test_a_directory_that_may_not_be_written(tracer: str, user: User, tmp_path: Path) -> None:
    """By an ordinary user: with one line, or with --strict not at all."""
    place = user.top / "roots"
    place.mkdir()
    words = ["run", "--tracer", tracer, "--save", place / "t.gz"]
    done = user.systrace(*words, "--", "sh", "-c", "echo out; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert done.stderr.startswith(
        f"systrace: cannot write {place}/t.gz: no permission to write in {place}: nothing is saved"
    )
    done = user.systrace(*words, "--strict", "--", "sh", "-c", "echo out; exit 7")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert list(place.iterdir()) == []


@root
@pytest.mark.parametrize("tracer", TRACERS)
def test_a_read_only_file_system(tracer: str, tmp_path: Path) -> None:
    with mounted(tmp_path / "ro", "-o", "ro") as place:
        for option in ("--save", "--report", "--live"):
            (said,) = unharmed(job("--tracer", tracer, option, place / "x", cwd=place))
            assert said.startswith(f"cannot write {place}/x: ")
        assert unharmed(job("--tracer", tracer, cwd=place)) == []


@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("options", [[], ["--save", "t.gz"], ["--report", "r"], ["--save-dir", "d"], ["--live", "l"]])
def test_a_working_directory_that_is_gone(tracer: str, options: list[str], tmp_path: Path) -> None:
    """It was removed under the shell that starts us: the job must not miss what it would have had without us."""
    gone = tmp_path / "gone"
    gone.mkdir()
    words = ["sh", "-c", 'cd "$1" && rmdir "$1" && shift && exec "$@"', "sh", str(gone), *SYSTRACE, "run"]
    words += ["--quiet-if-healthy", "--tracer", tracer, *options, *JOB]
    python = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2])])}
    done = subprocess.run(words, input=b"word\n", capture_output=True, check=False, timeout=60, env=python)
    said = unharmed(done)
    assert len(said) == bool(options), said
    assert not gone.exists()


@pytest.mark.parametrize("how", BROKEN_STRACES)
def test_a_broken_strace(how: str, tmp_path: Path) -> None:
    """Another tracer is used instead, and it is said why."""
    strace = tmp_path / "strace"
    strace.write_bytes(BROKEN_STRACES[how].encode("latin-1"))
    strace.chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    count = tmp_path / "count"
    words = ["--save", str(tmp_path / "t.gz"), "--", "sh", "-c", f"echo run >> {count}; echo out; echo err >&2; exit 7"]
    done = run(*words, env=variables)
    (said,) = unharmed(done, out=b"out\n")
    assert re.search(r"; the (ebpf|embedded) tracer is used instead$", said)
    assert count.read_text() == "run\n"
    assert '"exit_code":7' in parsed(tmp_path / "t.gz")
    done = run("--strict", "--tracer", "strace", *words, env=variables)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert count.read_text() == "run\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["count", "strace", "t.gz"]


def test_a_tracer_that_is_no_file_for_us(tmp_path: Path) -> None:
    """A directory of that name, or one without the right to execute, is not strace."""
    (tmp_path / "strace").mkdir()
    variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert unharmed(job(env=variables)) == []
    (tmp_path / "strace").rmdir()
    (tmp_path / "strace").write_text("#!/bin/sh\nexit 1\n")
    assert unharmed(job(env=variables)) == []


@pytest.mark.parametrize("tracer", TRACERS)
@pytest.mark.parametrize("stream", [0, 1, 2])
def test_a_closed_standard_stream(stream: int, tracer: str, tmp_path: Path) -> None:
    """The job finds it closed, as it would without us."""
    look = f"'ls /proc/self/fd > {tmp_path}/fds; exit 7'"
    script = f"{' '.join(SYSTRACE)} run --tracer {tracer} --save {tmp_path}/t -- sh -c {look}"
    redirection = {0: "<&-", 1: ">&-", 2: "2>&-"}[stream]
    done = subprocess.run(["sh", "-c", f"{script} {redirection}"], capture_output=True, check=False, timeout=60)
    assert done.returncode == 7
    alone = ["sh", "-c", f"exec sh -c 'ls /proc/self/fd > {tmp_path}/alone; exit 7' {redirection}"]
    subprocess.run(alone, capture_output=True, check=False, timeout=60)
    assert (tmp_path / "fds").read_text() == (tmp_path / "alone").read_text()
    assert "exit_status" in (tmp_path / "t").read_text()


@pytest.mark.parametrize("tracer", TRACERS)
def test_few_descriptors_and_processes(tracer: str, tmp_path: Path) -> None:
    """ulimit -n is the job's, and what it leaves us is enough or it is said."""
    for limit in (5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 24, 32, 64):
        script = f"ulimit -n {limit}; exec {' '.join(SYSTRACE)} run --tracer {tracer} -- sh -c 'ulimit -n; exit 7'"
        done = subprocess.run(["sh", "-c", script], capture_output=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (7, f"{limit}\n".encode()), (limit, done.stderr)
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("tracer", TRACERS)
def test_a_file_size_limit_of_the_job(tracer: str, tmp_path: Path) -> None:
    """ulimit -f is inherited: the recording stops there, and SIGXFSZ kills nobody."""
    script = f"ulimit -f 4; exec {' '.join(SYSTRACE)} run --tracer {tracer} --save {tmp_path}/t -- sh -c 'ulimit -f; "
    script += "for i in 1 2 3 4 5 6 7 8 9; do (ls / >/dev/null); done; exit 7'"
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (7, b"4\n"), done.stderr
    assert b"Traceback" not in done.stderr


def test_arguments_that_fill_the_kernels_space(tmp_path: Path) -> None:
    """The job just fits; strace's own words on top of it do not."""
    limit = os.sysconf("SC_ARG_MAX")
    size = sum(len(name) + len(value) + 2 + 8 for name, value in os.environb.items())
    words = ["x" * 100_000] * ((limit - size - 8192) // 100_009)
    alone = subprocess.run(["sh", "-c", "exit 7", *words], check=False)
    assert alone.returncode == 7
    done = run("--", "sh", "-c", "echo out; echo err >&2; exit 7", *words)
    unharmed(done, out=b"out\n")


def test_a_standard_error_that_nobody_reads() -> None:
    """The report has no reader: that is no failure of the job's."""
    reader, writer = os.pipe()
    os.close(reader)
    done = run("--", "sh", "-c", "echo out; exit 7", stderr=writer, stdout=subprocess.PIPE, capture_output=False)
    os.close(writer)
    assert (done.returncode, done.stdout) == (7, b"out\n")


def test_under_another_strace(tmp_path: Path) -> None:
    """We are traced ourselves: a process has one tracer, so the job runs without ours."""
    words = [*WITHOUT_EBPF, "strace", "-f", "-o", str(tmp_path / "outer"), *SYSTRACE]
    words += ["run", "--save", str(tmp_path / "t.gz"), *JOB]
    if not shutil.which("strace"):
        pytest.skip("strace is missing")
    done = subprocess.run(words, input=b"word\n", capture_output=True, check=False, timeout=100)
    said = unharmed(done)
    assert said[-1].startswith("systrace is itself being traced, by process ")
    assert said[-1].endswith("the job runs without being traced")


@root
def test_a_recording_is_0600_and_ours_under_sudo_like_conditions(tmp_path: Path) -> None:
    """Real and effective user differ: what is made belongs to the one whose rights are used."""
    script = "import os, sys; os.setresuid(65534, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
    import sys

    words = [sys.executable, "-c", script, *SYSTRACE, "run", "--save", str(tmp_path / "t.gz"), *JOB]
    done = subprocess.run(words, input=b"word\n", capture_output=True, check=False, timeout=60)
    unharmed(done)
    for path in tmp_path.iterdir():
        assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (0, 0o600)


@root
@pytest.mark.skipif(not shutil.which("unshare"), reason="util-linux is missing")
@pytest.mark.parametrize("how", ["mount -t tmpfs none /dev", "mount -t tmpfs none /dev; mkdir /dev/null"])
@pytest.mark.parametrize("tracer", TRACERS)
def test_without_a_null_device(tracer: str, how: str) -> None:
    """As in a chroot that nobody has furnished."""
    words = ["unshare", "--mount", "--propagation=private", "sh", "-c", f'{how}; exec "$@"', "sh"]
    words += [*SYSTRACE, "run", "--tracer", tracer, *JOB]
    done = subprocess.run(words, input=b"word\n", capture_output=True, check=False, timeout=100)
    said = unharmed(done)
    assert 1 <= len(said) <= 4, said  # no tracer of two, an incomplete recording, no report


@pytest.mark.parametrize("tracer", TRACERS)
def test_limits_that_are_no_file(tracer: str, tmp_path: Path) -> None:
    """A pipe would be waited for, and a device never ends."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "none"):
        (said,) = unharmed(job("--tracer", tracer, "--limits", path))
        assert said.startswith("your own idle limits are not used: ")
        assert str(path) in said
