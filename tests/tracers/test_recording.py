from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import stat
import tempfile
from pathlib import Path

import pytest

from systrace.errors import CaptureError, UsageError
from systrace.tracers.logfile import recordings
from systrace.tracers.recording import MARK, Recording, comment


def _facts(text: bytes) -> list[dict[str, object]]:
    return [json.loads(line[len(MARK) :]) for line in text.splitlines() if line.startswith(MARK)]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _write(save: Path | None) -> Recording:
    recording = Recording.create(save, {"command": ["a", "b\n\u2028\x1b"]})
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
    assert recording.pack() is None
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
    assert part.name == path.name + ".part"
    plain = part.read_bytes()
    assert recording.pack() is None
    recording.close()
    assert callable(unpack)
    assert unpack(path.read_bytes()) == plain
    assert (_mode(path), part.exists()) == (0o600, False)


def test_zstandard_is_read_back(tmp_path: Path) -> None:
    pytest.importorskip("backports.zstd", reason="the optional module is not installed")
    path = tmp_path / "x.zst"
    recording = _write(path)
    plain = recording.path.read_bytes()
    assert recording.pack() is None
    recording.close()
    ((read,),) = recordings([str(path)])
    assert b"".join(read.lines) == plain


def test_an_existing_file_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old" * 10_000)
    path.chmod(0o644)
    _write(path).close()
    assert _mode(path) == 0o600
    assert b"old" not in path.read_bytes()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(UsageError, match="cannot write"):
        Recording.create(tmp_path / "link", {})
    assert (tmp_path / "target").read_text() == "precious"


def test_what_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory"):
        Recording.create(tmp_path / "no" / "x", {})


def test_failing_compression_keeps_the_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    recording = _write(path)
    path.mkdir()
    said = recording.pack() or ""
    recording.close()
    assert "cannot compress" in said
    assert str(recording.path) in said
    assert b"read(3, 4)" in recording.path.read_bytes()


def test_without_save_nothing_is_left(tmp_path: Path) -> None:
    recording = _write(None)
    assert recording.pack() is None
    assert _mode(recording.path) == 0o600
    recording.close()
    assert not recording.path.exists()


def test_where_no_named_pipe_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(os, "mkfifo", refuse)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(CaptureError, match=r"no named pipe can be made in .*: Operation not permitted; set TMPDIR"):
        Recording.create(tmp_path / "t", {})
    assert list(temporary.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before
