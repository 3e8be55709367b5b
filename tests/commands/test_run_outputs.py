"""What the user names for systrace's own output: nothing that was there is harmed, and the job hears nothing of it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from systrace.tracers.waiting import tracer_of
from tests.commands.conftest import NOBODY
from tests.commands.jobs import INSTEAD, JOB, OPTIONS, SYSTRACE, job, run, things, unharmed

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices and has a second user")


@dataclass
class Named:
    """Something that a name may stand for."""

    name: str
    said: str  # why nothing is written to it
    kept: bool = True  # it is afterwards what it was before


def _directory(top: Path) -> Named:
    (top / "directory").mkdir()
    (top / "directory" / "precious").write_text("precious")
    return Named(f"{top}/directory", "it is a directory")


def _block_device(top: Path) -> Named:
    os.mknod(top / "disk", stat.S_IFBLK | 0o640, os.makedev(7, 250))
    return Named(f"{top}/disk", "it is a block device")


def _socket(top: Path) -> Named:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{top}/socket")
    return Named(f"{top}/socket", "it is a socket")


def _somebody_elses_file(top: Path) -> Named:
    path = top / "theirs"
    path.write_text("theirs")
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o666)
    return Named(str(path), "the file belongs to user nobody: remove it, or name another")


def _somebody_elses_link(top: Path) -> Named:
    (top / "target").write_text("ours and precious")
    (top / "link").symlink_to("target")
    os.lchown(top / "link", NOBODY, NOBODY)
    return Named(f"{top}/link", f"{top}/link is a symbolic link of user nobody")


def _link_to_nowhere_of_somebody_else(top: Path) -> Named:
    (top / "link").symlink_to("not-there")
    os.lchown(top / "link", NOBODY, NOBODY)
    return Named(f"{top}/link", f"{top}/link is a symbolic link of user nobody")


def _directory_behind_somebody_elses_link(top: Path) -> Named:
    (top / "place").mkdir()
    (top / "way").symlink_to("place")
    os.lchown(top / "way", NOBODY, NOBODY)
    return Named(f"{top}/way/file", f"{top}/way is a symbolic link of user nobody")


def _links_in_a_circle(top: Path) -> Named:
    (top / "a").symlink_to("b")
    (top / "b").symlink_to("a")
    return Named(f"{top}/a", "too many symbolic links")


def _no_directory(top: Path) -> Named:
    return Named(f"{top}/no/file", f"{top}/no: No such directory")


def _below_a_file(top: Path) -> Named:
    (top / "file").write_text("precious")
    return Named(f"{top}/file/file", "Not a directory")


def _long_name(top: Path) -> Named:
    return Named(f"{top}/{'x' * 300}", "File name too long")


def _no_descriptor(_top: Path) -> Named:
    return Named("/dev/fd/987", "Bad file descriptor")


REFUSED = (
    _directory,
    _block_device,
    _socket,
    _somebody_elses_file,
    _somebody_elses_link,
    _link_to_nowhere_of_somebody_else,
    _directory_behind_somebody_elses_link,
    _links_in_a_circle,
    _no_directory,
    _below_a_file,
    _long_name,
    _no_descriptor,
)


@root
@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__.strip("_"))
@pytest.mark.parametrize("option", OPTIONS)
def test_what_must_not_be_written_is_left_alone(option: str, make: Callable[[Path], Named], shared: Path) -> None:
    named = make(shared)
    before = things(shared)
    said = unharmed(job(option, named.name))
    assert things(shared) == before
    assert said == [f"cannot write {named.name}: {named.said}: {INSTEAD[option]}"]


@root
@pytest.mark.parametrize("option", OPTIONS)
def test_strict_asks_for_the_opposite(option: str, shared: Path) -> None:
    """And what is refused at the last moment is refused before the first."""
    for make in (_block_device, _somebody_elses_file, _no_directory):
        named = make(shared)
        before = things(shared)
        done = job("--strict", option, named.name)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.decode() == f"systrace: cannot write {named.name}: {named.said}\n"
        assert things(shared) == before


@root
@pytest.mark.parametrize("make", [_directory, _block_device, _somebody_elses_file, _no_directory])
def test_attach_does_nothing_rather_than_write_there(make: Callable[[Path], Named], shared: Path) -> None:
    """There the report is all that is wanted."""
    named = make(shared)
    before = things(shared)
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        for option in ("--save", "--report"):
            words = [*SYSTRACE, "attach", str(sleeper.pid), "--for", "0.1", option, named.name]
            done = subprocess.run(words, capture_output=True, check=False, timeout=60)
            assert done.returncode == 2
            assert done.stderr.decode().endswith(f"systrace: cannot write {named.name}: {named.said}\n")
            assert sleeper.poll() is None
        sleeper.kill()
    assert things(shared) == before


@root
@pytest.mark.parametrize("option", OPTIONS)
def test_a_device_of_ones_own_stays_one(option: str, tmp_path: Path) -> None:
    """A private /dev/null, as in a chroot: a recording that replaced it would break all that write there."""
    null = tmp_path / "null"
    os.mknod(null, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    null.chmod(0o626)
    before = things(tmp_path)
    said = unharmed(job(option, null))
    assert things(tmp_path) == before
    assert said == ([f"the recording cannot be saved as {null}: it is a device, no file"] if option == "--save" else [])


@pytest.mark.parametrize("option", OPTIONS)
def test_the_null_device_is_nothing(option: str) -> None:
    before = Path("/dev/null").stat()
    done = job(option, "/dev/null")
    assert unharmed(done) == []
    after = Path("/dev/null").stat()
    assert (before.st_mode, before.st_uid, before.st_ino) == (after.st_mode, after.st_uid, after.st_ino)
    assert (b"FAILED" in done.stderr) is (option != "--report")


@pytest.mark.parametrize("option", OPTIONS)
def test_a_pipe_without_a_reader_is_not_waited_for(option: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = things(tmp_path)
    done = job(option, tmp_path / "pipe")
    said = unharmed(done)
    assert things(tmp_path) == before
    assert (
        said
        == {
            "--save": [f"the recording cannot be saved as {tmp_path}/pipe: it is a pipe, no file"],
            "--report": [f"cannot write {tmp_path}/pipe: nobody reads this pipe: the report goes to standard error"],
            "--live": [],
        }[option]
    )
    assert b"FAILED" in done.stderr


@pytest.mark.parametrize(("option", "word"), [("--report", b"FAILED"), ("--live", b"exits with 7")])
def test_a_pipe_with_a_reader(option: str, word: bytes, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        assert unharmed(job(option, tmp_path / "pipe")) == []
        assert word in reader.communicate(timeout=60)[0]
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)


def test_a_reader_that_stops_reading_holds_nobody_up(tmp_path: Path) -> None:
    """The pipe is full, the job is over: the report goes where it can."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDWR)
    os.set_blocking(reader, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(reader, b"x" * 4096):
            pass
    done = job("--report", tmp_path / "pipe")
    os.close(reader)
    assert unharmed(done) == [f"cannot write {tmp_path}/pipe: nobody reads it: the report goes to standard error"]
    assert b"FAILED" in done.stderr


@pytest.mark.parametrize(
    ("option", "word", "said"),
    [
        ("--save", b"", "it is a device, no file"),
        ("--report", b"FAILED", None),
        ("--live", b"exits with 7", None),
    ],
)
def test_a_terminal(option: str, word: bytes, said: str | None) -> None:
    master, terminal = pty.openpty()
    name = os.ttyname(terminal)
    before = Path(name).stat()
    done = job(option, name)
    assert unharmed(done) == ([f"the recording cannot be saved as {name}: {said}"] if said else [])
    after = Path(name).stat()
    assert (before.st_mode, before.st_uid, before.st_ino) == (after.st_mode, after.st_uid, after.st_ino)
    text = b""
    os.set_blocking(master, False)
    with contextlib.suppress(BlockingIOError):
        while part := os.read(master, 65536):
            text += part
    assert word in text
    os.close(master)
    os.close(terminal)


@pytest.mark.parametrize("name", ["/dev/stdout", "-", "/proc/self/fd/1", "/dev/fd/1"])
def test_standard_output_by_name(name: str, tmp_path: Path) -> None:
    """It is added to, never truncated, and no file: a recording is none of what it may hold."""
    out = tmp_path / "out"
    with out.open("ab") as file:
        done = job("--save", name, stdout=file, stderr=subprocess.PIPE, capture_output=False)
        assert done.returncode == 7
        assert f"the recording cannot be saved as {name}: it is a descriptor, no file".encode() in done.stderr
        done = job("--report", name, stdout=file, stderr=subprocess.PIPE, capture_output=False)
        assert done.returncode == 7
    text = out.read_bytes()
    assert text.startswith(b"out\nword\nout\nword\nFAILED")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_events_and_report_into_one_inherited_descriptor(tmp_path: Path) -> None:
    """A file would hold a mixture of both; a pipe's reader, or who looks at a terminal, has asked for it."""
    reader, writer = os.pipe()
    with (tmp_path / "both").open("wb") as file:
        for descriptor in (file.fileno(), writer):
            done = job("--live", str(descriptor), "--report", f"/dev/fd/{descriptor}", pass_fds=(descriptor,))
            same = f"--live /dev/fd/{descriptor} is the same file as --report: no events are shown"
            assert unharmed(done) == ([same] if descriptor != writer else [])
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    assert b"exits with 7" in text
    assert b"FAILED" in text
    assert (tmp_path / "both").read_bytes().startswith(b"FAILED")


def test_further_reports_into_inherited_descriptors(tmp_path: Path) -> None:
    """Who makes the reports has closed these descriptors; who writes them has not."""
    with (tmp_path / "one").open("wb") as one, (tmp_path / "two").open("wb") as two:
        names = [f"/dev/fd/{file.fileno()}" for file in (one, two)]
        words = ["--format", "json", "--output", names[0], "--format", "ndjson", "--output", names[1]]
        done = job(*words, "--format", "markdown", "--output", tmp_path / "r.md", pass_fds=(one.fileno(), two.fileno()))
        assert unharmed(done) == []
    assert json.loads((tmp_path / "one").read_bytes())["verdict"]["outcome"] == "failed"
    assert all(json.loads(line) for line in (tmp_path / "two").read_bytes().splitlines())
    assert (tmp_path / "r.md").read_bytes().startswith(b"#")


def test_another_name_keeps_the_old_file(tmp_path: Path) -> None:
    """A hard link is yesterday's copy; a link of one's own leads to the file, and stays one."""
    for option in ("--save", "--report"):
        path, copy, link = (tmp_path / f"{option}.{name}" for name in ("file", "copy", "link"))
        path.write_text("yesterday")
        path.chmod(0o644)
        copy.hardlink_to(path)
        link.symlink_to(path.name)
        before = things(tmp_path)[str(copy)]
        assert unharmed(job(option, link)) == []
        assert link.is_symlink()
        assert path.read_bytes() != b"yesterday"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert things(tmp_path)[str(copy)] == before


def test_live_adds_to_a_file_that_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "live"
    path.write_text("before\n")
    path.chmod(0o644)
    assert unharmed(job("--live", path)) == []
    text = path.read_text()
    assert text.startswith("before\n")
    assert "exits with 7" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@root
def test_nothing_but_its_own_files_is_changed(tmp_path: Path) -> None:
    """All options at once, before and after: what is new is what was asked for, and TMPDIR is as it was."""
    here, temporary, home = tmp_path / "here", tmp_path / "tmp", tmp_path / "home"
    for directory in (here, temporary, home, tmp_path / "saved"):
        directory.mkdir()
    for path in (here / "data", temporary / "data", home / ".profile", tmp_path / "saved" / "other-1.strace.gz"):
        path.write_text("precious")
        path.chmod(0o604)
    before = things(tmp_path)
    variables = {**os.environ, "TMPDIR": str(temporary), "HOME": str(home), "XDG_RUNTIME_DIR": str(temporary)}
    for tracer in ("strace", "embedded"):
        asked: list[list[str | Path]] = [
            ["--save", here / "t.gz", "--report", here / "r", "--live", here / "l"],
            [
                "--save-dir",
                tmp_path / "saved",
                "--keep",
                "1",
                "--job",
                "j",
                "--tls-keys",
                "--on-failure",
                "cat; exit 1",
            ],
            ["--save", here / "t.xz", "--timeout", "1ms", "--format", "json", "--keepalive", "60,15,4"],
            ["--save", here / "t", "--max-size", "1k", "--no-seccomp", "--one-cpu", "--verdict-status"],
        ]
        for options in asked:
            run("--tracer", tracer, *options, *JOB, input=b"word\n", env=variables, cwd=here)
    after = things(tmp_path)
    assert {name: after.get(name) for name in before} == before
    new = {os.path.relpath(name, tmp_path) for name in after.keys() - before.keys()}
    assert {name for name in new if "saved/" not in name} == {"here/t.gz", "here/r", "here/l", "here/t.xz", "here/t"}
    (saved,) = {name for name in new if "saved/" in name}
    assert saved.startswith("saved/j-")
    assert all(stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600 for name in new)
