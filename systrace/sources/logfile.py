"""Files of strace output: plain or compressed by content, in any encoding, `-ff` siblings, standard input."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import json
import lzma
import re
import resource
import sys
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from systrace.errors import InputError, TransientError
from systrace.sources.line_ends import EndlessLineError, bounded_lines, bounded_text

if TYPE_CHECKING:
    from systrace.model import Input

_PACKED = ("", ".gz", ".xz", ".bz2", ".zst")
_FF_NAME = re.compile(r"(.+)\.(\d{1,7})(\.(?:gz|xz|bz2|zst))?", re.DOTALL)
_LAST_PID = 4_194_304  # PID_MAX_LIMIT: above stand days (20261128) and times
_OTHER_FILES = 64  # descriptors that are open beside the logs
_STEP = 1024  # bytes of zstd at a time
_DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error, ValueError)


def recordings(paths: Sequence[str]) -> list[list[Input]]:
    """Group files into recordings: `-ff` siblings (`name.PID`) together, any other file alone.

    A directory stands for the files in it; `-` is standard input.

    Raises:
        InputError: a path does not exist, is empty of files, or can't be read.
    """
    from systrace.model import Input  # here: the tracers' folder imports this module at the start of each job

    files: list[str] = []
    for path in paths:
        if path != "-" and Path(path).is_dir():
            inside = sorted(str(p) for p in Path(path).iterdir() if p.is_file() and not p.name.startswith("."))
            if not inside:
                raise InputError(f"{path}: no files in this directory")
            files += inside
        else:
            files.append(path)
    allow_open_files(len(files))
    return [[Input(path, lines_of(path), tid) for tid, path in members] for members in siblings(files)]


def siblings(files: Iterable[str]) -> list[list[tuple[int, str]]]:
    """(thread, file) of each recording: those of one `strace -ff` together, by thread; thread 0 for any other file, alone."""
    files = list(files)
    groups: dict[str, list[tuple[int, str]]] = {}
    for path in files:
        stem, tid = sibling(path)
        groups.setdefault(stem if tid else f"\0{path}", []).append((tid, path))
    names = set(files)
    found: list[list[tuple[int, str]]] = []
    for stem, members in groups.items():
        if is_rotated(stem, [tid for tid, _path in members], names):
            found += ([(0, path)] for _tid, path in members)
        else:
            found.append(sorted(members))
    return found


def sibling(path: str) -> tuple[str, int]:
    """(what the files of one `strace -ff` have in common, thread): `name` and 7 of `name.7`; ("", 0) for another file."""
    match = _FF_NAME.fullmatch(path)
    return (match[1], int(match[2])) if match is not None and 0 < int(match[2]) <= _LAST_PID else ("", 0)


def is_rotated(stem: str, numbers: Iterable[int], names: Collection[str]) -> bool:
    """Whether `stem.1`, `stem.2`, ... are older logs, as log rotation numbers them beside `stem`, which -ff does not write."""
    return sorted(set(numbers)) == list(range(1, len(set(numbers)) + 1)) and any(
        stem + each in names for each in _PACKED
    )


def stem_of_siblings(path: str) -> str | None:
    """What the files of one `strace -ff` have in common: `name` of `name.PID`; None for another file."""
    return sibling(path)[0] or None


def allow_open_files(count: int) -> None:
    """The siblings of `-ff` are read side by side, one for each thread of the job: more than a shell allows by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        with contextlib.suppress(OSError, ValueError):
            most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def lines_of(path: str) -> Iterable[bytes]:
    """The lines of one file; opened now, so that a wrong path is an error before any work is done."""
    if path == "-" and sys.stdin is None:
        raise InputError("standard input is closed")
    try:
        raw: BinaryIO = sys.stdin.buffer if path == "-" else Path(path).open("rb")  # noqa: SIM115
    except OSError as error:
        raise TransientError(f"{path}: {error.strerror or error}") from None
    return decoded(path, raw)


def decoded(path: str, raw: BinaryIO) -> Iterator[bytes]:
    """The lines of an open file, which is closed behind the last; `path` is its name in complaints.

    Raises:
        InputError: while it is read: it cannot be, or has no lines.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(raw)
        stream = (
            raw if isinstance(raw, io.BufferedReader) else cast(BinaryIO, io.BufferedReader(cast("io.RawIOBase", raw)))
        )
        try:
            stream = decompressed(path, stream)
            yield from _text_lines(stream)
        except EndlessLineError as error:
            if not error.lines_before:
                name = "standard input" if path == "-" else path
                raise InputError(f"{name}: this is no strace log: {error}") from None
            yield b"# systrace: " + json.dumps({"damage": f"{error}: what came before was read"}).encode() + b"\n"
        except _DAMAGE as error:
            if isinstance(fault := unreadable(path, error, ""), TransientError):
                raise fault from None
            yield (
                b"# systrace: "
                + b'{"damage": "the compressed data ends early or is damaged: what came before was read"}\n'
            )


def unreadable(path: str, error: BaseException, damage: str) -> InputError:
    """The error of a log that could not be read on: of this machine (it has a number), or else of the bytes: `damage`."""
    if isinstance(error, OSError) and error.errno:
        return TransientError(f"{path}: {error.strerror or error}")
    return InputError(f"{path}: {damage.format(error)}")


def peek(stream: BinaryIO, size: int) -> bytes:
    """The first bytes, at most `size`, which stay to be read."""
    return cast(io.BufferedReader, stream).peek(size)[:size]


class _Steps(io.RawIOBase):
    """A decompressor read step by step: at damage, what its earlier steps gave is not lost with the failing one."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As many bytes as one step gives."""
        data = self._file.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _ZstdSteps(io.RawIOBase):
    """zstd read in pieces so small that damage costs one block of it, not all that a larger piece gave."""

    def __init__(self, stream: BinaryIO, zstd: Any) -> None:
        self._stream = stream
        self._zstd = zstd
        self._frame = zstd.ZstdDecompressor()
        self._piece = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As many bytes as one step gives; a file may hold several frames."""
        while True:
            if self._frame.eof:
                self._piece = self._frame.unused_data or self._stream.read(_STEP)
                if not self._piece:
                    return 0
                self._frame = self._zstd.ZstdDecompressor()
            elif self._frame.needs_input and not self._piece:
                self._piece = self._stream.read(_STEP)
                if not self._piece:
                    raise EOFError
            try:
                data = self._frame.decompress(self._piece, len(buffer))
            except self._zstd.ZstdError as error:
                raise ValueError(str(error)) from None
            self._piece = b""
            if data:
                buffer[: len(data)] = data
                return len(data)


def decompressed(path: str, stream: BinaryIO) -> BinaryIO:
    """The stream itself, or what it unpacks to: gzip, xz, bzip2 and zstd are told by their first bytes.

    Raises:
        InputError: zstd, and nothing here can read it.
    """
    magic = peek(stream, 6)
    if magic.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, io.BufferedReader(_Steps(gzip.GzipFile(fileobj=stream)), 1 << 18))
    if magic.startswith(b"\xfd7zXZ\0"):
        return cast(BinaryIO, io.BufferedReader(_Steps(lzma.LZMAFile(stream)), 1 << 18))
    if magic.startswith(b"BZh"):
        return cast(BinaryIO, io.BufferedReader(_Steps(bz2.BZ2File(stream)), 1 << 18))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            from backports import zstd
        except ImportError:
            try:
                from compression import zstd  # type: ignore[import-not-found,no-redef,unused-ignore]
            except ImportError:
                hint = "compressed with zstd: pip install 'systrace[codecs]', or unpack it first (zstd -dc)"
                raise TransientError(f"{path}: {hint}") from None
        return cast(BinaryIO, io.BufferedReader(_ZstdSteps(stream, zstd), 1 << 18))
    return stream


def _text_lines(stream: BinaryIO) -> Iterable[bytes]:
    head = peek(stream, 64)
    if head.startswith(codecs.BOM_UTF8):
        stream.read(3)
        return bounded_lines(stream)
    encoding = ""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif len(head) >= 8 and abs(zeros := head[1::2].count(0) - head[::2].count(0)) * 2 > len(head) * 0.9:
        encoding = "utf-16-le" if zeros > 0 else "utf-16-be"  # both sides NUL is a hole that a crash left
    if encoding:
        return bounded_text(stream, encoding)
    return bounded_lines(stream)
