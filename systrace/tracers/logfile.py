"""Files of strace output: plain or compressed by content, in any encoding, `-ff` siblings, standard input."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from systrace.errors import InputError, MissingExtraError
from systrace.model import Input

_FF_NAME = re.compile(r"(.+)\.(\d{1,8})(\.(?:gz|xz|bz2|zst))?")
_DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error, ValueError)


def recordings(paths: Sequence[str]) -> list[list[Input]]:
    """Group files into recordings: `-ff` siblings (`name.PID`) together, any other file alone.

    A directory stands for the files in it; `-` is standard input.

    Raises:
        InputError: a path does not exist, is empty of files, or can't be read.
    """
    files: list[str] = []
    for path in paths:
        if path != "-" and Path(path).is_dir():
            inside = sorted(str(p) for p in Path(path).iterdir() if p.is_file() and not p.name.startswith("."))
            if not inside:
                raise InputError(f"{path}: no files in this directory")
            files += inside
        else:
            files.append(path)
    groups: dict[str, list[tuple[int, str]]] = {}
    for path in files:
        match = _FF_NAME.fullmatch(path)
        if match is not None and int(match[2]) > 0:
            groups.setdefault(match[1], []).append((int(match[2]), path))
        else:
            groups.setdefault(f"\0{path}", []).append((0, path))
    return [[Input(path, _lines(path), tid) for tid, path in sorted(members)] for members in groups.values()]


def _lines(path: str) -> Iterable[bytes]:
    """The lines of one file; opened now, so that a wrong path is an error before any work is done."""
    try:
        raw: BinaryIO = sys.stdin.buffer if path == "-" else Path(path).open("rb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    return _decoded(path, raw)


def _decoded(path: str, raw: BinaryIO) -> Iterator[bytes]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(raw)
        stream = (
            raw if isinstance(raw, io.BufferedReader) else cast(BinaryIO, io.BufferedReader(cast("io.RawIOBase", raw)))
        )
        try:
            stream = _decompressed(stream)
            yield from _text_lines(stream)
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno:
                raise InputError(f"{path}: {error.strerror or error}") from None
            yield (
                b"# systrace: "
                + b'{"damage": "the compressed data ends early or is damaged: what came before was read"}\n'
            )


def _peek(stream: BinaryIO, size: int) -> bytes:
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


def _decompressed(stream: BinaryIO) -> BinaryIO:
    magic = _peek(stream, 6)
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
                raise MissingExtraError("zstd", "codecs") from None
        return cast(BinaryIO, io.BufferedReader(cast("io.RawIOBase", zstd.ZstdFile(stream))))
    return stream


def _text_lines(stream: BinaryIO) -> Iterable[bytes]:
    head = _peek(stream, 64)
    if head.startswith(codecs.BOM_UTF8):
        stream.read(3)
        return stream
    encoding = ""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif len(head) >= 8 and abs(zeros := head[1::2].count(0) - head[::2].count(0)) * 2 > len(head) * 0.9:
        encoding = "utf-16-le" if zeros > 0 else "utf-16-be"  # both sides NUL is a hole that a crash left
    if encoding:
        return _recoded(stream, encoding)
    return stream


def _recoded(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    with io.TextIOWrapper(stream, encoding, errors="replace", newline="\n") as text:
        for line in text:
            yield line.encode("utf-8", "replace")
