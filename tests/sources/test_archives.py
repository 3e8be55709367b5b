"""Recordings in tar archives; archives that were made to harm."""

from __future__ import annotations

import gzip
import io
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from systrace.errors import InputError
from systrace.sources.archives import archive, members
from tests.fleet.logs import log

LINE = b'1 write(1, "x", 1) = 1\n'


def packed(path: Path, files: list[tuple[str, bytes]], mode: str = "w", *special: tarfile.TarInfo) -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for each in special:
            tar.addfile(each)
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def read(path: Path) -> dict[str, list[tuple[int, list[bytes]]]]:
    with archive(str(path)) as found:
        return {name: [(each.tid, list(each.lines)) for each in inputs] for name, inputs in members(str(path), found)}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_members_are_read(mode: str, tmp_path: Path) -> None:
    path = packed(tmp_path / "logs", [("a/x.strace", LINE), ("b.strace.gz", gzip.compress(LINE * 2))], mode)
    assert read(path) == {"a/x.strace": [(0, [LINE])], "b.strace.gz": [(0, [LINE, LINE])]}


def test_siblings_come_together(tmp_path: Path) -> None:
    path = packed(tmp_path / "logs", [("j.12", LINE), ("other", LINE), ("j.7", LINE * 2)])
    assert read(path) == {"other": [(0, [LINE])], "j.7": [(7, [LINE, LINE]), (12, [LINE])]}


def test_what_is_no_archive(tmp_path: Path) -> None:
    for data in (b"", LINE, b"\x1f\x8b", b"\x1f\x8bgarbage", b"garbage" * 99):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(InputError, match="the archive is damaged"), archive(str(tmp_path / "x")):
            pass


def test_nothing_is_written_followed_or_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log(tmp_path / "secret")
    special = []
    for kind, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.CHRTYPE, "zero")):
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.devmajor, info.devminor = kind, str(tmp_path / "secret"), 1, 5
        special.append(info)
    path = packed(tmp_path / "t", [("../../up", LINE), ("/absolute", LINE), ("e\x1b[2J\n", LINE)], "w", *special)
    assert list(read(path)) == ["../../up", "/absolute", "e\x1b[2J\n"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["secret", "t"]
    assert not Path("/absolute").exists()


def test_what_came_before_the_damage_is_read(tmp_path: Path) -> None:
    path = packed(tmp_path / "t", [("a", LINE), ("b", LINE * 10_000)])
    path.write_bytes(path.read_bytes()[:2000])
    with archive(str(path)) as found:
        inside = members(str(path), found)
        name, inputs = next(inside)
        assert (name, list(inputs[0].lines)) == ("a", [LINE])
        name, inputs = next(inside)
        assert name == "b"
        assert b"damage" in list(inputs[0].lines)[-1]
        with pytest.raises(InputError, match="the archive is damaged"):
            next(inside)


def test_siblings_that_would_fill_the_disk_are_refused(tmp_path: Path) -> None:
    """The size is believed before a byte is copied."""
    info = tarfile.TarInfo("j.1")
    info.size = 1 << 40
    path = tmp_path / "t"
    path.write_bytes(info.tobuf() + bytes(1024))
    with archive(str(path)) as found, pytest.raises(InputError, match="more than 2 GB"):
        list(members(str(path), found))


def test_a_bomb_is_no_log(tmp_path: Path) -> None:
    """Two gigabytes of NULs in two megabytes, packed as a hole."""
    info = tarfile.TarInfo("big")
    info.size = 1 << 31
    path = tmp_path / "t.gz"
    with gzip.open(path, "wb", 1) as out:
        out.write(info.tobuf())
        block = bytes(1 << 24)
        for _ in range(1 << 7):
            out.write(block)
    with archive(str(path)) as found, closing(members(str(path), found)) as inside:
        _name, inputs = next(inside)
        with pytest.raises(InputError, match="for more than 512 MB"):
            list(inputs[0].lines)
