"""Files: compressed by content, in any encoding, `-ff` siblings, damaged."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import lzma
import os
import random
import resource
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from systrace.errors import InputError
from systrace.sources import line_ends
from systrace.sources.logfile import recordings, siblings

TEXT = b"7 1700000000.000001 close(3) = 0\n7 1700000000.000002 close(4) = -1 EBADF (\xc3\xa4)\n"


def content(path: Path) -> bytes:
    """All lines of a recording of one file."""
    ((each,),) = recordings([str(path)])
    return b"".join(each.lines)


@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, lzma.compress, bz2.compress, lambda text: codecs.BOM_UTF8 + text,
     lambda text: text.decode().encode("utf-16"), lambda text: text.decode().encode("utf-16-le"),
     lambda text: text.decode().encode("utf-16-be"),
     lambda text: codecs.BOM_UTF16_BE + text.decode().encode("utf-16-be"),
     lambda text: gzip.compress(codecs.BOM_UTF8 + text)],
    ids=["plain", "gzip", "xz", "bzip2", "BOM", "UTF-16", "LE", "BE", "BE with BOM", "BOM in gzip"],
)  # fmt: skip
def test_recognised_by_content(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """The name says nothing."""
    path = tmp_path / "log"
    path.write_bytes(pack(TEXT))
    assert content(path) == TEXT


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_a_damaged_file_is_read_as_far_as_it_goes(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """What came before the damage is there, and a line says so."""
    path = tmp_path / "log"
    packed = pack(b"".join(b"7 close(%d) = 0\n" % (n * n) for n in range(20_000)))
    for data in (
        packed[: len(packed) // 2],
        packed[: len(packed) // 2] + b"\0" * 500 + packed[len(packed) // 2 + 500 :],
    ):
        path.write_bytes(data)
        found = content(path)
        assert b'# systrace: {"damage"' in found
    path.write_bytes(packed[:20])
    assert content(path).startswith(b"# systrace:")


def test_siblings_are_one_recording(tmp_path: Path) -> None:
    """`-ff` files by thread, other files alone."""
    for name in ("a.12", "a.7", "b.txt", "c.9.gz"):
        (tmp_path / name).write_bytes(gzip.compress(TEXT) if name.endswith("gz") else TEXT)
    groups = recordings([str(tmp_path)])
    found = sorted([(each.name.rsplit("/", 1)[-1], each.tid) for each in group] for group in groups)
    assert found == [[("a.7", 7), ("a.12", 12)], [("b.txt", 0)], [("c.9.gz", 9)]]
    assert all(b"".join(each.lines) == TEXT for group in groups for each in group)


def test_days_and_rotated_logs_are_no_threads(tmp_path: Path) -> None:
    """No process has the number 20261128; beside `r` stand `r.1` and `r.2.gz`, which a job of two threads would not leave."""
    names = [
        "d.20261128",
        "d.20261129",
        "e.4194305",
        "e.4194306",
        "r",
        "r.1",
        "r.2.gz",
        "s.gz",
        "s.1.gz",
        "j",
        "j.4194303",
        "j.4194304",
        "k.1",
        "k.2",
    ]
    for name in names:
        (tmp_path / name).write_bytes(TEXT)
    groups = siblings(map(str, tmp_path.iterdir()))
    found = sorted([(path.rsplit("/", 1)[-1], tid) for tid, path in group] for group in groups)
    several = [[("j.4194303", 4194303), ("j.4194304", 4194304)], [("k.1", 1), ("k.2", 2)]]
    assert [each for each in found if len(each) > 1] == several
    assert sorted(each[0][0] for each in found if each[0][1] == 0) == sorted(names[:10])


def test_what_is_not_there(tmp_path: Path) -> None:
    """Named in the error, before any work."""
    with pytest.raises(InputError, match=r"nowhere: No such file"):
        recordings([str(tmp_path / "nowhere")])
    with pytest.raises(InputError, match=r"no files in this directory"):
        recordings([str(tmp_path)])


@pytest.mark.parametrize("where", [0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_damaged_zstd_is_read_to_the_block_before(tmp_path: Path, where: float) -> None:
    """Cut, or overwritten: all but the last 300 kB before the damage is there."""
    zstd = pytest.importorskip("backports.zstd")
    chance = random.Random(7)
    text = b"".join(b"7 close(%d) = 0\n" % chance.getrandbits(60) for _ in range(60_000))
    packed = zstd.compress(text)
    at = int(len(packed) * where)
    path = tmp_path / "log"
    for data in (packed[:at], packed[:at] + b"\xff" * 200 + packed[at + 200 :]):
        path.write_bytes(data)
        found = content(path)
        assert text.startswith(found[: int(len(text) * where) - 300_000])
        assert len(found) > len(text) * where - 300_000
    path.write_bytes(packed + zstd.compress(b"8 close(1) = 0\n"))
    assert content(path) == text + b"8 close(1) = 0\n"


def test_a_hole_of_nuls_at_the_start_is_no_utf_16(tmp_path: Path) -> None:
    """What a crash left."""
    path = tmp_path / "log"
    path.write_bytes(b"\0" * 4096 + TEXT)
    assert content(path).endswith(TEXT)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_very_long_line_is_cut_and_the_next_keep_their_numbers(tmp_path: Path, encoding: str) -> None:
    """So that no line fills the memory."""
    path = tmp_path / "log"
    path.write_bytes((TEXT.decode() + "x" * (40 << 20) + "\n" + TEXT.decode()).encode(encoding))
    ((each,),) = recordings([str(path)])
    lines = list(each.lines)
    assert b"".join(lines[:2]) == b"".join(lines[-2:]) == TEXT
    assert len(lines) == 5
    assert 16 << 20 <= len(lines[2]) < 17 << 20
    assert lines[2].strip(b"x") in (b"", b"\n")


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("size", [20 << 20, (20 << 20) + 1, 70_000])
def test_a_hole_is_left_out_and_what_follows_it_is_not(tmp_path: Path, size: int, sparse: bool) -> None:
    """What a program writes to a log that was truncated stands behind NULs."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(TEXT)
        if sparse:
            file.seek(size, os.SEEK_CUR)
        else:
            file.write(bytes(size))
        file.write(TEXT * 10_000)
    found = content(path)
    assert found.replace(b"\0", b"") == TEXT * 10_001
    assert len(found) < len(TEXT) * 10_001 + 200_000


def test_a_pipe_without_line_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a line before, it is no log; else what came before is one."""
    monkeypatch.setattr(line_ends, "_ENDLESS", 1 << 20)
    for before in (b"", TEXT):
        reader, writer = os.pipe()
        thread = threading.Thread(target=_fill, args=(writer, before))
        thread.start()
        if before:
            assert content(Path(f"/dev/fd/{reader}")).startswith(TEXT)
        else:
            with pytest.raises(InputError, match="a line goes on for more than"):
                content(Path(f"/dev/fd/{reader}"))
        os.close(reader)
        thread.join()


def _fill(descriptor: int, before: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as file:
        file.write(before)
        while True:
            file.write(b"x" * 100_000)


def test_more_siblings_than_a_shell_allows_open_files(tmp_path: Path) -> None:
    """The soft limit is raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        for tid in range(1, 301):
            (tmp_path / f"log.{tid}").write_bytes(TEXT)
        (group,) = recordings([str(tmp_path)])
        assert sum(len(list(each.lines)) for each in group) == 600
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# A hole of a plain file is no bomb: it is skipped.
BOMBS = [
    pytest.param(pack, piece, id=f"{pack}-{name}")
    for pack in ("gzip -1", "xz -0", "bzip2", "zstd", "cat")
    for name, piece in {"NULs": bytes(1 << 20), "line ends": b"\n" * (1 << 20)}.items()
    if (pack, name) != ("cat", "NULs")
]


@pytest.mark.parametrize(("pack", "piece"), BOMBS)
@pytest.mark.parametrize("before", [b"", TEXT], ids=["alone", "behind a log"])
def test_what_unpacks_without_an_end_is_given_up(tmp_path: Path, pack: str, piece: bytes, before: bytes) -> None:
    """A few kilobytes that stand for 600 MB, or for ten gigabytes."""
    path = tmp_path / "bomb"
    if pack == "zstd":
        pytest.importorskip("backports.zstd")
    with path.open("wb") as out, subprocess.Popen(pack.split(), stdin=subprocess.PIPE, stdout=out) as packer:
        assert packer.stdin is not None
        packer.stdin.write(before)
        for _ in range(2 if piece[0] else 600):
            packer.stdin.write(piece)
    if before:
        found = content(path)
        assert found.startswith(TEXT)
        assert b'# systrace: {"damage": "' in found.splitlines()[-1]
        assert len(found) < 1 << 20
    else:
        with pytest.raises(
            InputError, match=r"bomb: this is no strace log: (a line goes on for more than 512 MB|nothing but)"
        ):
            content(path)


def test_blank_lines_in_utf_16_are_counted_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes((TEXT.decode() + "\n" * 300_000).encode("utf-16"))
    assert content(path).startswith(TEXT)
    assert b"nothing but empty lines" in content(path)[-200:]


def test_many_members_and_some_blank_lines_are_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "log"
    text = TEXT + b"\n" * 100_000
    path.write_bytes(gzip.compress(text) * 5)
    assert content(path) == text * 5
