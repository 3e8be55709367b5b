"""What a name of an output stands for, and what is left alone: real files, devices, pipes, and a second user."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from systrace import outputs
from systrace.outputs import RefusedError, appending, distinct, place, write_all, writing

NOBODY = 65534
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a second user, devices and mounts")


def write(name: str | Path, data: bytes = b"new\n") -> None:
    with writing(place(name)) as out:
        out.write(data)


def as_nobody(work: Callable[[], object]) -> str:
    """What `work` gives, or how it is refused, where another user does it."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            try:
                answer = str(work())
            except (OSError, ValueError, RefusedError) as error:
                answer = f"{type(error).__name__}: {error}"
            os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        said = answers.read().decode()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory like /tmp, below one that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="outputs-") as top:
        Path(top).chmod(0o755)
        directory = Path(top) / "shared"
        directory.mkdir()
        directory.chmod(0o1777)
        yield directory


# ----------------------------------------------------------------------------------------------------- what is refused


def test_what_is_no_place_for_an_output(tmp_path: Path) -> None:
    """One line each, and nothing changed."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        (tmp_path / "file").write_text("")
        (tmp_path / "loop").symlink_to("loop")
        refusals: dict[str | Path, str] = {
            tmp_path: "it is a directory",
            "": "it is a directory",
            tmp_path / "socket": "it is a socket",
            tmp_path / "missing" / "x": f"{tmp_path}/missing: No such directory",
            tmp_path / "file" / "x": "Not a directory",
            tmp_path / "loop": "too many symbolic links",
            "/dev/fd/777": "Bad file descriptor",
            "a\0b": "embedded null byte",
        }
        for name, why in refusals.items():
            with pytest.raises(RefusedError) as refused:
                place(name)
            assert why in str(refused.value)
            assert str(refused.value).isprintable()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "loop", "socket"]


@root
def test_a_block_device_is_refused(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 250))
    except OSError as error:
        pytest.skip(f"mknod: {error.strerror}")
    with pytest.raises(RefusedError, match="it is a block device"):
        place(tmp_path / "disk")


@root
def test_what_belongs_to_another_user_is_left_alone(shared: Path) -> None:
    """His file, his symbolic link, his directory's link, his pipe: in a directory where anybody may make one."""
    own = shared.parent / "own"
    own.write_text("root's")
    for make in (
        lambda: (shared / "file").write_text("his"),
        lambda: (shared / "link").symlink_to(own),
        lambda: (shared / "way").symlink_to(shared.parent),
        lambda: os.mkfifo(shared / "pipe", 0o666),
    ):
        assert not as_nobody(make).startswith("PermissionError")
    for name, why in {
        "file": "the file belongs to user ",
        "link": "is a symbolic link of user ",
        "way/new": "is a symbolic link of user ",
        "pipe": "the pipe belongs to user ",
    }.items():
        with pytest.raises(RefusedError, match=why):
            place(shared / name)
    assert (own.read_text(), (shared / "file").read_text()) == ("root's", "his")


@root
def test_what_an_ordinary_user_may_not_write(shared: Path) -> None:
    own = shared / "roots"
    own.write_text("root's")
    own.chmod(0o666)
    assert "the file belongs to user root" in as_nobody(lambda: write(own))
    assert "no permission to write in" in as_nobody(lambda: write(shared.parent / "new"))
    assert own.read_text() == "root's"
    assert as_nobody(lambda: write(shared / "his")) == "None"
    assert (shared / "his").stat().st_uid == NOBODY


def test_a_link_of_ones_own_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("new")
    write(tmp_path / "link")
    write(tmp_path / "dangling")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == (tmp_path / "new").read_text() == "new\n"


# ------------------------------------------------------------------------------------------------------ files replaced


def _interrupted(out: BinaryIO) -> None:
    out.write(b"x" * 100_000)
    raise KeyboardInterrupt


def test_a_file_is_replaced_when_all_is_written_and_only_then(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), writing(place(path)) as out:
        _interrupted(out)
    assert path.read_text() == "old"
    with writing(place(path)) as out:
        out.write(b"new")
        out.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127])
def test_a_name_as_long_as_names_may_be(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(name, "new\n")]


def test_a_taken_name_beside_the_file_is_not_written(tmp_path: Path) -> None:
    path, taken = tmp_path / "report", tmp_path / f"report.{os.getpid()}.part"
    taken.symlink_to(tmp_path / "elsewhere")
    write(path)
    assert path.read_text() == "new\n"
    assert taken.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


@root
def test_a_file_of_ones_own_in_a_directory_of_others_is_written_in_place(shared: Path) -> None:
    path = shared.parent / "given"
    path.write_text("old, and longer than the new")
    os.chown(path, NOBODY, NOBODY)

    def fails() -> None:
        with writing(place(path)) as out:
            out.write(b"half")
            raise ValueError("reading failed")

    assert as_nobody(fails) == "ValueError: reading failed"
    assert path.read_text() == "old, and longer than the new"
    assert as_nobody(lambda: write(path)) == "None"
    assert path.read_text() == "new\n"
    os.link(path, shared.parent / "second")
    assert "has other hard links" in as_nobody(lambda: write(path, b"other"))
    assert path.read_text() == "new\n"


@root
def test_a_file_that_is_a_mount_point_is_written_in_place(tmp_path: Path) -> None:
    """A container's file (docker -v report:/report) cannot be renamed over."""
    real, point = tmp_path / "real", tmp_path / "point"
    real.write_text("old")
    point.write_text("")
    done = subprocess.run(["mount", "--bind", real, point], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    try:
        write(point)
    finally:
        subprocess.run(["umount", point], check=True)
    assert real.read_text() == "new\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["point", "real"]


@root
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    try:
        path = tmp_path / "report"
        path.write_text("old")
        with pytest.raises(RefusedError, match=f"cannot write {path}: No space left on device"):
            write(path, b"x" * 200_000)
        assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("report", "old")]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# --------------------------------------------------------------------------------------------- devices and descriptors


@pytest.mark.parametrize("name", ["/dev/null", "/dev/full"])
def test_devices_are_what_they_were(name: str) -> None:
    before = Path(name).stat()
    if name == "/dev/full":
        with pytest.raises(RefusedError, match="cannot write /dev/full: No space left on device"):
            write(name)
    else:
        write(name)
    after = Path(name).stat()
    assert (after.st_mode, after.st_rdev, after.st_ino) == (before.st_mode, before.st_rdev, before.st_ino)


@root
def test_a_device_keeps_its_mode(tmp_path: Path) -> None:
    """A /dev/null of our own, in case it does not."""
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.chmod(0o666)
        device.open("wb").close()
    except OSError as error:
        pytest.skip(f"mknod: {error.strerror}")
    write(device)
    found = device.stat()
    assert (stat.S_ISCHR(found.st_mode), stat.S_IMODE(found.st_mode)) == (True, 0o666)


def test_a_descriptor_by_any_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/fd/777")
    with tempfile.TemporaryFile() as file:
        number = file.fileno()
        names: list[str | Path] = [f"/dev/fd/{number}", f"/proc/self/fd/{number}", tmp_path / "through"]
        (tmp_path / "through").symlink_to(f"/dev/fd/{number}")
        for name in names:
            assert place(name).kind == "descriptor"
            write(name, b"x")
        os.fstat(number)  # still open
        file.seek(0)
        assert file.read() == b"xxx"
    with pytest.raises(RefusedError, match="Bad file descriptor"):
        place(tmp_path / "link")


def test_a_terminal(tmp_path: Path) -> None:
    controller, worker = pty.openpty()
    name = os.ttyname(worker)
    assert place(name).kind == "device"
    write(name, b"report")
    assert os.read(controller, 100) == b"report"
    os.close(controller)
    os.close(worker)


def test_a_closed_pipe_behind_a_descriptor_is_the_readers_choice() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError), writing(place(f"/dev/fd/{writer}")) as out:
        out.write(b"x")
    os.close(writer)


# --------------------------------------------------------------------------------------------------------- named pipes


def test_a_pipe_whose_reader_comes_later(tmp_path: Path) -> None:
    fifo, found = tmp_path / "fifo", []
    os.mkfifo(fifo)
    thread = threading.Timer(0.2, lambda: found.append(fifo.read_bytes()))
    thread.start()
    write(fifo, b"x" * 300_000)
    thread.join()
    assert found == [b"x" * 300_000]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_pipe_without_a_reader_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "READER_SECONDS", 0.2)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(RefusedError, match="nobody reads this pipe"):
        write(tmp_path / "fifo")


def test_what_was_exchanged_since_it_was_looked_at_is_not_written(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    os.mkfifo(tmp_path / "other")
    where = place(fifo)
    (tmp_path / "other").rename(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    for use in (lambda: writing(where).__enter__(), lambda: appending(where)):
        with pytest.raises(RefusedError, match="has just been changed"):
            use()
    os.close(reader)


# ------------------------------------------------------------------------------------------------------------ distinct


def test_nothing_is_written_twice_nor_what_is_read(tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    log.write_text("log")
    (tmp_path / "link").symlink_to("log")
    os.link(log, tmp_path / "hard")
    for name in ("log", "link", "hard", "sub/../log"):
        (tmp_path / "sub").mkdir(exist_ok=True)
        with pytest.raises(RefusedError, match=r"--output .* is the same file as the input "):
            distinct([("--output", place(tmp_path / name))], [log])
    with pytest.raises(RefusedError, match=r"--report .*out is the same file as --save"):
        distinct([("--save", place(out)), ("--report", place(tmp_path / "sub" / ".." / "out"))])
    distinct(
        [("--save", place("/dev/null")), ("--report", place("/dev/null")), ("--live", None)], ["/dev/null", "-", "a\0b"]
    )
    distinct([("--save", place(out)), ("--report", place(tmp_path / "other"))], [log])


def test_a_descriptor_of_what_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("log")
    with log.open("ab") as file, pytest.raises(RefusedError, match=r"^standard output is the same file as the input "):
        distinct([("standard output", place(f"/dev/fd/{file.fileno()}"))], [log])
    reader, writer = os.pipe()
    where = place(f"/dev/fd/{writer}")
    distinct([("--report", where), ("--live", where)])  # lines in one pipe are no harm
    os.close(reader)
    os.close(writer)


# ----------------------------------------------------------------------------------------------------------- appending


def test_lines_are_added_at_the_end_of_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "live"
    for text in (b"one\n", b"two\n"):
        descriptor = appending(place(path))
        write_all(descriptor, text)
        os.close(descriptor)
    assert path.read_text() == "one\ntwo\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nobody_waits_for_ever_for_a_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    descriptor = appending(place(tmp_path / "fifo"))
    with pytest.raises(TimeoutError, match="nobody reads it"):
        write_all(descriptor, b"x" * (1 << 20), stall_seconds=0.1)
    os.close(descriptor)
