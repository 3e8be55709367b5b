"""Recordings in tar archives; archives that were made to harm."""

from __future__ import annotations

import errno
import gzip
import io
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from systrace.errors import InputError, TransientError
from systrace.sources import archives as module
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
        return {
            each.name: [(one.tid, list(one.lines)) for one in each.inputs]
            for each in members(str(path), found)
            if not each.link_to
        }


def until_fault(path: Path) -> tuple[list[tuple[str, list[int]]], InputError | None]:
    """What is given (how many lines a file), and what then is said."""
    given: list[tuple[str, list[int]]] = []
    try:
        with archive(str(path)) as found:
            for each in members(str(path), found):
                given.append((each.name, [len(list(one.lines)) for one in each.inputs]))  # noqa: PERF401 (kept at a fault)
    except InputError as error:
        return given, error
    return given, None


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
        first = next(inside)
        assert (first.name, list(first.inputs[0].lines)) == ("a", [LINE])
        second = next(inside)
        assert second.name == "b"
        assert b"damage" in list(second.inputs[0].lines)[-1]
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
        first = next(inside)
        with pytest.raises(InputError, match="for more than 512 MB"):
            list(first.inputs[0].lines)


@pytest.mark.parametrize("damage", ["cut", "header"])
def test_siblings_before_the_damage_are_given(damage: str, tmp_path: Path) -> None:
    path = packed(tmp_path / "t", [("j.7", LINE), ("j.12", LINE * 2), ("z", LINE * 10_000)])
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[4096:]
    else:
        data[2048 : 2048 + 512] = b"\xff" * 512
    path.write_bytes(data)
    given, error = until_fault(path)
    assert "the archive is damaged" in str(error)
    assert given[-1] == ("j.7", [1, 2])
    assert not isinstance(error, TransientError)


def test_a_disk_that_fails_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Siblings that are not all there yet must not be taken for a whole job."""
    path = packed(tmp_path / "t", [("j.7", LINE), ("j.12", LINE)])

    def fails(_self: tarfile.TarFile) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with archive(str(path)) as found:
        inside = members(str(path), found)
        monkeypatch.setattr(
            found, "next", lambda before=found.next: before() if before.__self__.firstmember else fails(found)
        )
        with pytest.raises(TransientError, match="Input/output error"):
            next(inside)


def test_siblings_that_are_too_many_cost_their_own_group_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_COPIED", 5 * len(LINE))
    files = [("j.7", LINE), ("j.12", LINE * 9), ("j.13", LINE), ("k.1", LINE), ("x", LINE)]
    path = packed(tmp_path / "t", files)
    given, error = until_fault(path)
    assert "more than 2 GB" in str(error)
    assert given == [("x", [1]), ("k.1", [1])]


def test_hard_links_are_told(tmp_path: Path) -> None:
    links = []
    for name, target in (("b", "a"), ("c", "elsewhere")):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.LNKTYPE, target
        links.append(info)
    path = packed(tmp_path / "t", [("a", LINE)], "w", *links)
    with archive(str(path)) as found:
        told = [(each.name, each.link_to, each.there) for each in members(str(path), found)]
    assert told == [("a", "", True), ("b", "a", True), ("c", "elsewhere", False)]


def test_headers_within_headers_are_damage(tmp_path: Path) -> None:
    """Each long name announces the next one, deeper than Python goes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    (tmp_path / "first").write_bytes((info.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")) * 5000)
    start = packed(tmp_path / "start", [("a", LINE)]).read_bytes()[:1024]
    (tmp_path / "second").write_bytes(start + (tmp_path / "first").read_bytes())
    for name in ("first", "second"):
        with pytest.raises(InputError, match="the archive is damaged"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", [".hidden", "log"])
def test_a_size_that_is_made_up_costs_no_time(name: str, tmp_path: Path) -> None:
    info = tarfile.TarInfo(name)
    info.size = 1 << 60
    (tmp_path / "t").write_bytes(info.tobuf() + LINE)
    assert "the archive is damaged" in str(until_fault(tmp_path / "t")[1])


def test_headers_are_not_kept(tmp_path: Path) -> None:
    path = packed(tmp_path / "t", [(f"{number}", b"") for number in range(50)])
    with archive(str(path)) as found:
        kept = [len(found.members) for _each in members(str(path), found)]  # type: ignore[attr-defined]
    assert (len(kept), max(kept)) == (50, 0)


def test_rotated_logs_are_recordings_of_their_own(tmp_path: Path) -> None:
    files = [("x.2", LINE), ("x", LINE), ("x.1", LINE), ("y.20261128", LINE), ("z.1", LINE), ("z.2", LINE)]
    assert {name: [tid for tid, _lines in inputs] for name, inputs in read(packed(tmp_path / "t", files)).items()} == {
        "x": [0],
        "y.20261128": [0],
        "x.1": [0],
        "x.2": [0],
        "z.1": [1, 2],
    }
