from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from systrace.capture.recording import MARK, Recording, comment
from systrace.errors import CaptureError, UsageError
from systrace.outputs import place
from systrace.sources.logfile import recordings


def _facts(text: bytes) -> list[dict[str, object]]:
    return [json.loads(line[len(MARK) :]) for line in text.splitlines() if line.startswith(MARK)]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _write(save: Path | None) -> Recording:
    recording = Recording.create(place(save) if save is not None else None, {"command": ["a", "b\n\u2028\x1b"]})
    recording.add(b'# systrace: {"snapshot": {}}')
    with recording.path.open("ab") as file:
        file.write(b"5 1.0 read(3, 4) = 1\n5 1.1 wri")
    recording.end({"exit_status": 3})
    return recording


def test_a_comment_is_one_line_of_ascii() -> None:
    line = comment({"text": "a\nb\r\x1b[2J\u2028é", "path": Path("x")})
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert json.loads(line[len(MARK) :]) == {"text": "a\nb\r\x1b[2J\u2028é", "path": "x"}


def test_head_text_and_end(tmp_path: Path) -> None:
    path = tmp_path / "x.strace"
    recording = _write(path)
    assert recording.path.name == f"x.strace.{os.getpid()}.part"
    assert not path.exists()
    assert recording.pack() == (path, None)
    recording.close()
    lines = path.read_bytes().splitlines()
    head, snapshot, end = _facts(path.read_bytes())
    assert head["command"] == ["a", "b\n\u2028\x1b"]
    assert (head["format"], snapshot, end["exit_status"]) == (1, {"snapshot": {}}, 3)
    assert str(end["end"]) > str(head["start"])
    assert lines[2:4] == [b"5 1.0 read(3, 4) = 1", b"5 1.1 wri"]
    assert _mode(path) == 0o600
    assert not recording.directory.exists()


@pytest.mark.parametrize(
    ("suffix", "unpack"), [(".gz", gzip.decompress), (".xz", lzma.decompress), (".bz2", bz2.decompress)]
)
def test_compressed_by_suffix(tmp_path: Path, suffix: str, unpack: object) -> None:
    path = tmp_path / f"x.strace{suffix}"
    recording = _write(path)
    part = recording.path
    assert part.name == f"{path.name}.{os.getpid()}.part"
    plain = part.read_bytes()
    assert recording.pack() == (path, None)
    recording.close()
    assert callable(unpack)
    assert unpack(path.read_bytes()) == plain
    assert (_mode(path), part.exists()) == (0o600, False)


def test_zstandard_is_read_back(tmp_path: Path) -> None:
    pytest.importorskip("backports.zstd", reason="the optional module is not installed")
    path = tmp_path / "x.zst"
    recording = _write(path)
    plain = recording.path.read_bytes()
    assert recording.pack() == (path, None)
    recording.close()
    ((read,),) = recordings([str(path)])
    assert b"".join(read.lines) == plain


def test_what_was_there_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old" * 10_000)
    path.chmod(0o644)
    recording = _write(path)
    assert path.read_text() == "old" * 10_000
    assert recording.pack() == (path, None)
    recording.close()
    assert _mode(path) == 0o600
    assert b"old" not in path.read_bytes()


def test_a_link_of_ones_own_leads_to_the_file(tmp_path: Path) -> None:
    """~/latest may point to where there is room: the link stays, what it names is replaced."""
    (tmp_path / "target").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    recording = _write(tmp_path / "link")
    assert (tmp_path / "target").read_text() == "precious"
    assert recording.pack() == (tmp_path / "target", None)
    recording.close()
    assert (tmp_path / "link").is_symlink()
    assert b"read(3, 4)" in (tmp_path / "target").read_bytes()


def test_another_name_of_the_file_keeps_the_old_text(tmp_path: Path) -> None:
    """A hard link is a copy that costs nothing: nobody writes into it."""
    (tmp_path / "x").write_text("precious")
    (tmp_path / "copy").hardlink_to(tmp_path / "x")
    recording = _write(tmp_path / "x")
    recording.pack()
    recording.close()
    assert (tmp_path / "copy").read_text() == "precious"
    assert b"read(3, 4)" in (tmp_path / "x").read_bytes()


def test_what_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such directory"):
        Recording.create(place(tmp_path / "no" / "x"), {})


@pytest.mark.parametrize("name", ["x.gz", "x", "x.strace.xz"])
def test_a_name_that_was_taken_meanwhile(tmp_path: Path, name: str) -> None:
    """By another run, by a directory, by anything: it is not ours to replace."""
    path = tmp_path / name
    recording = _write(path)
    path.mkdir()
    stem, _dot, suffixes = name.partition(".")
    other = tmp_path / f"{stem}.{os.getpid()}{_dot}{suffixes}"
    assert recording.pack() == (other, f"{path} was written by another run meanwhile: this recording is {other}")
    recording.close()
    assert other.is_file()
    assert path.is_dir()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["x.gz", "x"])
def test_a_file_that_was_changed_or_replaced_meanwhile_is_not_touched(tmp_path: Path, name: str) -> None:
    for change in ("written to", "replaced", "removed"):
        path = tmp_path / change / name
        path.parent.mkdir()
        path.write_text("yesterday")
        recording = _write(path)
        if change == "written to":
            path.write_text("today")
            os.utime(path, ns=(1, 1))
        else:
            path.unlink()
            if change == "replaced":
                (path.parent / "another").write_text("today")
                (path.parent / "another").rename(path)
        landed, complaint = recording.pack()
        recording.close()
        assert landed is not None
        assert landed != path
        assert complaint is not None
        if change == "removed":
            assert not path.exists()
        else:
            assert path.read_text() == "today"


def test_a_part_of_a_crash_is_never_overwritten(tmp_path: Path) -> None:
    """A process number comes again: what a killed systrace with it has left is another's work."""
    path = tmp_path / "x.strace"
    left = tmp_path / f"x.strace.{os.getpid()}.part"
    left.write_text("of the crash")
    recording = _write(path)
    assert recording.path != left
    assert recording.pack() == (path, None)
    recording.close()
    assert left.read_text() == "of the crash"
    assert {each.name for each in tmp_path.iterdir()} == {path.name, left.name}


def test_a_part_is_private_whatever_the_umask(tmp_path: Path) -> None:
    for mask in (0, 0o777, 0o277):
        before = os.umask(mask)
        try:
            recording = _write(tmp_path / f"x{mask}.gz")
        finally:
            os.umask(before)
        assert _mode(recording.path) == 0o600
        recording.pack()
        recording.close()
        assert _mode(tmp_path / f"x{mask}.gz") == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_failing_compression_keeps_the_plain_text(tmp_path: Path) -> None:
    """No room for both: the plain text stays, and is named."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=True)
    try:
        path = tmp_path / "x.gz"
        recording = _write(path)
        os.write(recording.descriptor, os.urandom(40_000))
        landed, said = recording.pack()
        recording.close()
        assert landed == recording.path
        assert said == f"cannot compress the recording (No space left on device): it is in {recording.path}"
        assert b"read(3, 4)" in recording.path.read_bytes()
        assert len(list(tmp_path.iterdir())) == 1
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


@pytest.mark.parametrize("target", ["/dev/null", "/dev/full"])
def test_a_device_takes_no_recording(target: str) -> None:
    recording = Recording.create(place(target), {})
    assert not recording.saved
    said = recording.complaint
    assert said == (
        None if target == "/dev/null" else f"the recording cannot be saved as {target}: it is a device, no file"
    )
    assert recording.pack() == (None, None)
    recording.close()


def test_without_save_nothing_is_left(tmp_path: Path) -> None:
    recording = _write(None)
    assert recording.pack() == (None, None)
    assert _mode(recording.path) == 0o600
    recording.close()
    assert not recording.path.exists()


def test_where_no_named_pipe_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(os, "mkfifo", refuse)
    before = len(list(Path("/proc/self/fd").iterdir()))
    said = rf"no place for temporary files \({temporary}: Operation not permitted\); set TMPDIR"
    with pytest.raises(CaptureError, match=said):
        Recording.create(place(tmp_path / "t"), {})
    assert list(temporary.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_another_place_for_temporary_files_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    recording = Recording.create(None, {})
    assert recording.directory.is_dir()
    assert stat.S_IMODE(recording.directory.stat().st_mode) == 0o700
    recording.close()
    assert not recording.directory.exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"5 1.1 exit_group(3) = ?\n5 1.2 +++ exited with 3 +++\n", True),
        (b"5 1.2 +++ killed by SIGKILL +++\n6 1.3 read(3, 4) = 1\n", True),
        (b"5     1.2 +++ killed by SIGSEGV (core dumped) +++\n", True),
        (b"6 1.2 +++ exited with 3 +++\n55 1.2 +++ exited with 3 +++\n", False),
        (b'5 1.2 write(1, "5 1.2 +++ exited with 3 +++", 9) = 9\n', False),
        (b"", False),
    ],
)
def test_whether_the_end_of_the_job_was_recorded(text: bytes, shown: bool) -> None:
    """Its tracer may have been killed just before."""
    recording = Recording.create(None, {})
    os.write(recording.descriptor, b"7 1.0 read(3, 4) = 1\n" * 100_000 + text)
    assert recording.shows_end_of(5) is shown
    recording.close()


def test_a_systrace_that_is_killed_while_it_compresses_leaves_the_plain_text_alone(tmp_path: Path) -> None:
    """One file, whole: what has been compressed so far has no name (where the file system can do that)."""
    script = """
import gzip, os, signal, sys
from systrace.outputs import place
from systrace.capture.recording import Recording
recording = Recording.create(place(sys.argv[1]), {})
os.write(recording.descriptor, b"5 1.0 read(3, 4) = 1\\n" * 100_000)
gzip.GzipFile.close = lambda self: os.kill(os.getpid(), signal.SIGKILL)
recording.pack()
"""
    words = [sys.executable, "-c", script, str(tmp_path / "t.gz")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    (left,) = [path for path in tmp_path.iterdir() if path.is_file()]
    assert left.read_bytes().endswith(b"5 1.0 read(3, 4) = 1\n" * 100_000)


def test_where_files_without_names_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS, FAT: it has a name from the start, and takes the other's place all the same."""
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_CREAT)  # which no kernel takes
    path = tmp_path / "x.gz"
    recording = _write(path)
    plain = recording.path.read_bytes()
    assert recording.pack() == (path, None)
    recording.close()
    assert gzip.decompress(path.read_bytes()) == plain
    assert list(tmp_path.iterdir()) == [path]
