"""Recordings inside a tar archive, read in passing: nothing is ever unpacked under a name that stands in an archive."""

from __future__ import annotations

import contextlib
import io
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import IO, BinaryIO, cast

from systrace.errors import InputError
from systrace.model import Input
from systrace.sources.logfile import allow_open_files, decoded, decompressed, stem_of_siblings

_DAMAGE = (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error, ValueError, OverflowError)
_MOST_COPIED = 1 << 31  # bytes of `strace -ff` siblings, which lie apart in an archive and are read side by side
TAR, MAGIC = b"ustar", slice(257, 262)  # of a header of ustar, pax and GNU tar


@contextlib.contextmanager
def archive(path: str, raw: BinaryIO | None = None) -> Generator[tarfile.TarFile, None, None]:
    """An open tar archive, plain or compressed; `raw` is its stream where it is no file.

    Raises:
        InputError: it is none, or cannot be read.
    """
    try:
        with (
            raw or Path(path).open("rb") as stream,
            tarfile.open(fileobj=decompressed(path, stream), mode="r|") as found,
        ):
            yield found
    except _DAMAGE as error:
        raise InputError(f"{path}: the archive is damaged: {error}") from None


def members(path: str, found: tarfile.TarFile) -> Generator[tuple[str, list[Input]], None, None]:
    """(name, inputs) of each recording in an archive, in its order, `strace -ff` siblings at the end.

    Each is to be read before the next is asked for. Links, devices and hidden files are passed over. The names are the
    archive's own, hostile ones too: they are to be shown, never opened.

    Raises:
        InputError: the archive is damaged; what came before was given.
    """
    copied: dict[str, list[tuple[int, str, BinaryIO]]] = {}
    left = _MOST_COPIED
    try:
        for member in found:
            file = found.extractfile(member) if member.isreg() else None
            if file is None or member.name.rpartition("/")[2].startswith("."):
                continue
            stem = stem_of_siblings(member.name)
            if stem is None:
                stream = io.BufferedReader(_Member(cast(io.BufferedIOBase, file)))
                yield member.name, [Input(f"{path}:{member.name}", decoded(member.name, cast(BinaryIO, stream)))]
                continue
            left -= member.size
            if left < 0:
                raise InputError(f"{path}: the files of strace -ff in it take more than 2 GB: unpack it first")
            siblings = copied.setdefault(stem, [])
            allow_open_files(sum(map(len, copied.values())))
            siblings.append((int(member.name[len(stem) + 1 :].split(".")[0]), member.name, _copy(file)))
    except _DAMAGE as error:
        raise InputError(f"{path}: the archive is damaged ({error}): what came before was read") from None
    for siblings in copied.values():
        siblings.sort(key=lambda each: each[:2])
        yield siblings[0][1], [Input(f"{path}:{name}", decoded(name, file), tid) for tid, name, file in siblings]


class _Member(io.RawIOBase):
    """A member as any other stream: without `fileno`, which fails oddly, and with an end where the archive is cut."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As many bytes as are there.

        Raises:
            EOFError: the archive ends before.
        """
        try:
            data = self._file.read1(len(buffer))
        except tarfile.TarError:
            raise EOFError from None
        buffer[: len(data)] = data
        return len(data)


def _copy(file: IO[bytes]) -> BinaryIO:
    """A file without a name, which goes with the process whatever ends it."""
    copy = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (closed by who reads it)
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    return copy
