"""Files: compressed by content, in any encoding, `-ff` siblings, damaged."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from systrace.errors import InputError
from systrace.tracers.logfile import recordings

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


def test_what_is_not_there(tmp_path: Path) -> None:
    """Named in the error, before any work."""
    with pytest.raises(InputError, match=r"nowhere: No such file"):
        recordings([str(tmp_path / "nowhere")])
    with pytest.raises(InputError, match=r"no files in this directory"):
        recordings([str(tmp_path)])
