"""Recordings: strace text with `# systrace: {json}` lines for what strace cannot say, compressed by suffix, mode 0600.

The first line says who recorded what, where and with which options; the last how it ended. Anything that reads strace
text skips them as comments. A recording is written as plain text while the job runs, so that a killed systrace leaves
it readable, and is compressed at the end: until then `FILE.gz` is `FILE.gz.part`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from systrace.errors import CaptureError, MissingExtraError, UsageError

MARK = b"# systrace: "
FORMAT = 1
PART = ".part"


def comment(facts: Mapping[str, Any]) -> bytes:
    """One `#` line of a recording, newline included; JSON escapes everything that could break the line."""
    return MARK + json.dumps(facts, ensure_ascii=True, default=str).encode() + b"\n"


def compressor(path: Path) -> Callable[[IO[bytes]], Any] | None:
    """Wraps a file so that what is written to it is compressed as the suffix says; None for plain text.

    Raises:
        MissingExtraError: `.zst` without a zstd module.
    """
    suffix = path.suffix.lower()
    if suffix == ".gz":
        import gzip

        return lambda file: gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6)
    if suffix == ".xz":
        import lzma

        return lambda file: lzma.LZMAFile(file, "wb", preset=2)
    if suffix == ".bz2":
        import bz2

        return lambda file: bz2.BZ2File(file, "wb")
    if suffix in (".zst", ".zstd"):
        return _zstd()
    return None


def _zstd() -> Callable[[IO[bytes]], Any]:
    import importlib

    for module in ("compression.zstd", "backports.zstd"):
        with contextlib.suppress(ImportError):
            opener = importlib.import_module(module).ZstdFile
            return lambda file: opener(file, "wb")
    raise MissingExtraError("backports.zstd", "codecs")


@dataclass(slots=True)
class Recording:
    """A recording being written. `path` is the plain text that grows, `name` what to call it in a report."""

    path: Path
    name: str
    directory: Path  # private: for the tracer's FIFO and messages, and the text itself when nothing is saved
    descriptor: int
    final: Path | None  # where the user wants it

    @classmethod
    def create(cls, save: Path | None, header: Mapping[str, Any]) -> Recording:
        """Start a recording with its first line.

        Raises:
            UsageError: the file cannot be written.
            MissingExtraError: no module for the suffix.
            CaptureError: no place for temporary files.
        """
        if save is not None:
            compressor(save)
        try:
            directory = Path(tempfile.mkdtemp(prefix="systrace-"))
        except OSError as error:
            raise CaptureError(f"no place for temporary files: {error.strerror}; set TMPDIR") from None
        path = directory / "trace"
        if save is not None:
            path = save if compressor(save) is None else save.with_name(save.name + PART)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, comment({"format": FORMAT, "start": time.time(), **header}))
        except OSError as error:
            shutil.rmtree(directory, ignore_errors=True)
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        try:
            os.mkfifo(directory / "fifo", 0o600)
        except OSError as error:  # some file systems have none
            os.close(descriptor)
            shutil.rmtree(directory, ignore_errors=True)
            raise CaptureError(f"no named pipe can be made in {directory}: {error.strerror}; set TMPDIR") from None
        return cls(path, str(save or "the trace"), directory, descriptor, save)

    @property
    def fifo(self) -> Path:
        """Where the tracer writes."""
        return self.directory / "fifo"

    def add(self, *lines: bytes) -> None:
        """Write `#` lines before the tracer starts."""
        with contextlib.suppress(OSError):
            os.write(self.descriptor, b"".join(line.rstrip(b"\n") + b"\n" for line in lines))

    @property
    def length(self) -> int:
        """Bytes so far."""
        return os.lseek(self.descriptor, 0, os.SEEK_END)

    def cut(self, length: int) -> None:
        """Take back what came after the first `length` bytes; nobody else writes any more."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, length)
            os.lseek(self.descriptor, length, os.SEEK_SET)

    def end(self, footer: Mapping[str, Any], lines: Iterable[bytes] = ()) -> None:
        """Write these `#` lines and the last one; a full disk has room for it (see `spool`) or it is left out."""
        with contextlib.suppress(OSError):
            end = os.lseek(self.descriptor, 0, os.SEEK_END)
            broken = end > 0 and os.pread(self.descriptor, 1, end - 1) != b"\n"  # the tracer died in a line
            os.write(self.descriptor, b"\n" * broken + b"".join(lines) + comment({"end": time.time(), **footer}))

    def pack(self) -> str | None:
        """Compress, if the suffix asks for it; says what went wrong and where the text is then."""
        try:
            if self.final is not None and self.final != self.path:
                self._compress(self.final)
        except OSError as error:
            return f"cannot compress the recording ({error.strerror}): it is in {self.path}"
        return None

    def _compress(self, final: Path) -> None:
        wrap = compressor(final)
        assert wrap is not None
        target = os.open(final, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(target, 0o600)
            with (
                os.fdopen(target, "wb", closefd=False) as raw,
                wrap(raw) as packed,
                self.path.open("rb") as plain,
            ):
                shutil.copyfileobj(plain, packed, 1 << 20)
        except OSError:
            with contextlib.suppress(OSError):
                final.unlink()
            raise
        finally:
            os.close(target)
        self.path.unlink()

    def close(self) -> None:
        """Remove what nobody asked to keep."""
        os.close(self.descriptor)
        shutil.rmtree(self.directory, ignore_errors=True)
