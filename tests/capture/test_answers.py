"""What an analyst hands back arrives whole, also where the disk for what is much has no room."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import pytest

from systrace.capture.answers import IN_MEMORY, Spool, part, received

PIECE = bytes(range(256)) * 4096  # 1 MiB


def _written(pieces: list[bytes]) -> bytes:
    spool = Spool()
    for piece in pieces:
        assert spool.write(piece) == len(piece)
    assert spool.tell() == sum(map(len, pieces))
    return bytes(spool.whole())


@pytest.mark.parametrize("pieces", [[], [b"", b"a"], [PIECE] * 3, [PIECE] * 20, [PIECE * 20], [b"a", PIECE * 9, b"z"]])
def test_all_that_was_written_is_read(pieces: list[bytes]) -> None:
    assert _written(pieces) == b"".join(pieces)
    assert bytes(received(io.BytesIO(b"".join(pieces)))) == b"".join(pieces)


@pytest.mark.parametrize("room", [0, 10 << 20])
@pytest.mark.parametrize("pieces", [[PIECE] * 20, [PIECE * 20], [b"a", PIECE * 9, b"z", PIECE * 4]])
def test_a_full_disk_loses_nothing(room: int, pieces: list[bytes]) -> None:
    """The limit of a file's size (setrlimit(2)) fails as a full disk does: after a part, with an errno."""
    child = os.fork()
    if not child:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        os._exit(_written(pieces) != b"".join(pieces))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_place_for_files_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert _written([PIECE] * 20) == PIECE * 20


def test_a_large_part_is_not_copied() -> None:
    whole = memoryview(PIECE * 20)
    assert isinstance(part(whole), memoryview)
    assert part(whole[:IN_MEMORY]) == bytes(whole[:IN_MEMORY])
