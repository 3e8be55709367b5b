"""Recordings inside a tar archive, read in passing: nothing is ever unpacked under a name that stands in an archive."""

from __future__ import annotations

import contextlib
import io
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Collection, Generator, Iterator
from pathlib import Path
from typing import IO, BinaryIO, Self, cast

from systrace.dataclass import dataclass
from systrace.errors import InputError, TransientError
from systrace.model import Input
from systrace.sources.logfile import allow_open_files, decoded, decompressed, is_rotated, sibling, unreadable

_DAMAGE = (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error, ValueError, OverflowError, RecursionError)
_MOST_COPIED = 1 << 31  # bytes of `strace -ff` siblings, which lie apart in an archive and are read side by side
TAR, MAGIC = b"ustar", slice(257, 262)  # of a header of ustar, pax and GNU tar


@dataclass(frozen=True, slots=True)
class Member:
    """A recording in an archive: its inputs, or what it is a hard link to."""

    name: str
    inputs: list[Input]
    link_to: str = ""
    there: bool = True  # what it is a link to


class _Header(tarfile.TarInfo):
    """A damaged header is damage: tarfile takes one behind the first member for the archive's end."""

    @classmethod
    def fromtarfile(cls, file: tarfile.TarFile) -> Self:
        """The next member.

        Raises:
            ReadError: its header is damaged.
        """
        try:
            return super().fromtarfile(file)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from None


@contextlib.contextmanager
def archive(path: str, raw: BinaryIO | None = None) -> Generator[tarfile.TarFile, None, None]:
    """An open tar archive, plain or compressed; `raw` is its stream where it is no file.

    Raises:
        InputError: it is none, or cannot be read.
    """
    try:
        with (
            raw or Path(path).open("rb") as stream,
            tarfile.open(fileobj=decompressed(path, stream), mode="r|", tarinfo=_Header) as found,
        ):
            yield found
    except _DAMAGE as error:
        raise unreadable(path, error, "the archive is damaged: {}") from None


def members(path: str, found: tarfile.TarFile) -> Generator[Member, None, None]:
    """Each recording in an archive, in its order, `strace -ff` siblings and hard links at the end.

    Each is to be read before the next is asked for. Symbolic links, devices and hidden files are passed over. The names are
    the archive's own, hostile ones too: they are to be shown, never opened.

    Raises:
        InputError: the archive is damaged; what came before was given.
    """
    siblings, links, names = _Siblings(path), list[tuple[str, str]](), set[str]()
    fault: InputError | None = None
    try:
        for member in _headers(found):
            if member.name.rpartition("/")[2].startswith("."):
                continue
            if member.islnk():
                links.append((member.name, member.linkname))
            elif member.isreg() and (file := found.extractfile(member)) is not None:
                names.add(member.name)
                if not siblings.take(member, file):
                    stream = cast(BinaryIO, io.BufferedReader(_Member(cast(io.BufferedIOBase, file))))
                    yield Member(member.name, [Input(f"{path}:{member.name}", decoded(member.name, stream))])
    except _DAMAGE as error:
        fault = unreadable(path, error, "the archive is damaged ({}): what came before was read")
    with contextlib.closing(siblings):
        if isinstance(fault, TransientError):  # the next time all siblings may be there
            raise fault
        yield from siblings.given(names)
    for name, target in links:
        yield Member(name, [], target, target in names)
    if (fault := siblings.fault or fault) is not None:
        raise fault


def _headers(found: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members; what tarfile's own iterator does, but in bounded memory and time."""
    while (member := found.next()) is not None:
        found.members.clear()  # type: ignore[attr-defined] # else all headers of the archive stay
        yield member
        stream = cast(BinaryIO, found.fileobj)
        while (left := found.offset - stream.tell()) > 0:  # tarfile itself goes on behind the end, however far
            if not stream.read(min(left, 1 << 18)):
                raise tarfile.ReadError("unexpected end of data")


class _Siblings:
    """The files of each `strace -ff`, copied, since they lie apart in an archive."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._left = _MOST_COPIED
        self._groups: dict[str, list[tuple[int, str, BinaryIO]]] = {}
        self._refused: set[str] = set()
        self.fault: InputError | None = None

    def take(self, member: tarfile.TarInfo, file: IO[bytes]) -> bool:
        """Copy it, where it is one."""
        stem, tid = sibling(member.name)
        if not tid:
            return False
        self._left -= member.size
        if self._left < 0:
            self.fault = InputError(f"{self._path}: the files of strace -ff in it take more than 2 GB: unpack it first")
            self._left += member.size
            self._refused.add(stem)
        if stem in self._refused:  # a part of a job would be judged as the whole of it
            self._close(stem)
            return True
        allow_open_files(sum(map(len, self._groups.values())) + 1)
        copy = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (nameless: goes with the process, whatever ends it)
        self._groups.setdefault(stem, []).append((tid, member.name, copy))
        shutil.copyfileobj(file, copy)
        return True

    def given(self, names: Collection[str]) -> Iterator[Member]:
        """The recordings, when all were seen, and the names of all."""
        for stem, group in self._groups.items():
            group.sort(key=lambda each: each[:2])
            for _tid, _name, copy in group:
                copy.seek(0)
            apart = is_rotated(stem, [tid for tid, _name, _copy in group], names)
            for some in [[each] for each in group] if apart else [group]:
                inputs = [
                    Input(f"{self._path}:{name}", decoded(name, copy), 0 if apart else tid) for tid, name, copy in some
                ]
                yield Member(some[0][1], inputs)

    def _close(self, stem: str) -> None:
        for _tid, _name, copy in self._groups.pop(stem, ()):
            copy.close()

    def close(self) -> None:
        """Give the copies free."""
        for stem in list(self._groups):
            self._close(stem)


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
