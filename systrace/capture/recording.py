"""Recordings: strace text with `# systrace: {json}` lines for what strace cannot say, compressed by suffix, mode 0600.

The first line says who recorded what, where and with which options; the last how it ended. Anything that reads strace
text skips them as comments. A recording is written as plain text while the job runs, so that a killed systrace leaves
it readable, and is compressed and named at the end: until then `FILE.gz` is `FILE.gz.PID.part`, and yesterday's FILE.gz
is what it was.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from systrace.dataclass import dataclass
from systrace.errors import CaptureError, MissingExtraError
from systrace.outputs import Place, beside

MARK = b"# systrace: "
FORMAT = 1
PART = ".part"
FIFO = "fifo"
TAIL = 1 << 20  # bytes in which the end of a process that has just ended is looked for


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
    final: Place | None = None  # where the user wants it; `path` is beside it then
    packed: bool = True  # as its suffix says
    complaint: str | None = None  # why it is not saved as asked

    @classmethod
    def create(cls, save: Place | None, header: Mapping[str, Any]) -> Recording:
        """Start a recording with its first line. What can't be saved is recorded all the same, for the report.

        Raises:
            CaptureError: no place for temporary files.
        """
        directory = private_directory(save.path.parent if save is not None and save.is_file else None)
        complaint, packed = None, True
        first = comment({"format": FORMAT, "start": time.time(), **header})
        try:
            if save is not None and save.is_file:
                try:
                    compressor(save.path)
                except MissingExtraError as error:
                    complaint, packed = f"{save.named} is written uncompressed: {error}", False
                try:
                    descriptor, path = beside(save.path, f".{os.getpid()}{PART}")
                    _begin(descriptor, path, first)
                    return cls(path, save.named, directory, descriptor, save, packed, complaint)
                except OSError as error:
                    complaint = f"the recording cannot be saved as {save.named}: {error.strerror}"
            elif save is not None and save.path != Path(os.devnull):
                complaint = f"the recording cannot be saved as {save.named}: it is a {save.kind}, no file"
            path = directory / "trace"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            _begin(descriptor, path, first)
        except OSError as error:
            shutil.rmtree(directory, ignore_errors=True)
            raise CaptureError(f"nothing can be recorded in {directory}: {error.strerror}; set TMPDIR") from None
        return cls(path, "the trace", directory, descriptor, complaint=complaint)

    @property
    def saved_as(self) -> str:
        """The file that it will be; "" where it is not kept."""
        return self.final.named if self.final is not None else ""

    @property
    def fifo(self) -> Path:
        """Where the tracer writes."""
        return self.directory / FIFO

    @property
    def saved(self) -> bool:
        """Something will be kept."""
        return self.final is not None

    def add(self, *lines: bytes) -> None:
        """Write `#` lines before the tracer starts."""
        with contextlib.suppress(OSError):
            os.write(self.descriptor, b"".join(line.rstrip(b"\n") + b"\n" for line in lines))

    @property
    def length(self) -> int:
        """Bytes so far."""
        return os.lseek(self.descriptor, 0, os.SEEK_END)

    def shows_end_of(self, pid: int) -> bool:
        """Whether one of the last lines says how this process ended; a tracer that was killed in time has not said it."""
        with contextlib.suppress(OSError):
            tail = os.pread(self.descriptor, TAIL, max(0, self.length - TAIL))
            return re.search(rb"^%d +[\d.]+ \+\+\+ (?:exited with|killed by) " % pid, tail, re.MULTILINE) is not None
        return True

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

    def pack(self) -> tuple[Path | None, str | None]:
        """Compress, if the suffix asks for it, and give it its name.

        Returns:
            Where the recording is now, None when none was to be kept; and what is other than was asked for.
        """
        if self.final is None:
            return None, None
        try:
            if self.packed and compressor(self.final.path) is not None:
                self._compress(self.final.path)
        except OSError as error:
            return self.path, f"cannot compress the recording ({error.strerror}): it is in {self.path}"
        try:
            landed = _land(self.path, self.final)
        except OSError as error:
            return self.path, f"the recording cannot be named {self.final.named} ({error.strerror}): it is {self.path}"
        if landed != self.final.path:
            return landed, f"{self.final.named} was written by another run meanwhile: this recording is {landed}"
        return landed, None

    def discard(self) -> None:
        """Keep nothing after all."""
        if self.final is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _compress(self, final: Path) -> None:
        """Into a file beside it, which takes its place: whatever happens, one of the two is whole."""
        wrap = compressor(final)
        assert wrap is not None
        packed: Path | None = None
        target = _nameless(self.path.parent)
        if target < 0:
            target, packed = beside(self.path, "~")
        try:
            with os.fdopen(target, "wb") as raw:
                with (
                    wrap(raw) as into,
                    open(f"/proc/self/fd/{self.descriptor}", "rb") as plain,  # noqa: PTH123 (its name may be gone)
                ):
                    shutil.copyfileobj(plain, into, 1 << 20)
                raw.flush()
                packed = packed or _named(target, self.path)
            packed.replace(self.path)
        except OSError:
            if packed is not None:
                with contextlib.suppress(OSError):
                    packed.unlink()
            raise

    def close(self) -> None:
        """Remove what nobody asked to keep."""
        os.close(self.descriptor)
        shutil.rmtree(self.directory, ignore_errors=True)


def _begin(descriptor: int, path: Path, first: bytes) -> None:
    """Write the first line; a file that can't take it goes again."""
    try:
        if os.write(descriptor, first) < len(first):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _nameless(directory: Path) -> int:
    """A new file without a name, of which nothing stays if we are killed (O_TMPFILE, open(2)); -1 where there are none."""
    try:
        descriptor = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return -1
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, 0o600)
    return descriptor


def _named(descriptor: int, path: Path) -> Path:
    """Give such a file a name beside `path`, which is its own already, so that it can take its place.

    Raises:
        OSError: it cannot be given one.
    """
    name = path.with_name(f"{path.name}~")
    with contextlib.suppress(FileNotFoundError):
        name.unlink()
    os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor)  # so that it is linkat(2), which can follow
    return name


def private_directory(also: Path | None = None) -> Path:
    """A directory of our own with a named pipe in it, in the first place that has room for both.

    Raises:
        CaptureError: there is none.
    """
    said = ""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for parent in dict.fromkeys((os.environ.get("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm", runtime, also)):  # noqa: S108
        if not parent:
            continue
        directory = None
        try:
            directory = Path(tempfile.mkdtemp(prefix="systrace-", dir=parent))
            os.mkfifo(directory / FIFO, 0o600)
            with (directory / "room").open("wb") as file:
                file.write(b"x")
            (directory / "room").unlink()
        except OSError as error:  # some file systems have no pipes
            said = said or f"{parent}: {error.strerror}"
            if directory is not None:
                shutil.rmtree(directory, ignore_errors=True)
        else:
            return directory
    raise CaptureError(f"no place for temporary files ({said}); set TMPDIR")


def _land(part: Path, final: Place) -> Path:
    """Give a whole recording its name, or another one where the name went to another run's since it was looked at.

    Raises:
        OSError: it keeps the name that it has.
    """
    path = final.path
    try:
        now = path.lstat()
    except FileNotFoundError:
        here: tuple[tuple[int, int] | None, int] = None, 0
    else:
        here = (now.st_dev, now.st_ino), now.st_mtime_ns
    if here == (final.key, final.changed_ns):
        if final.key is not None:
            part.replace(path)
            return path
        with contextlib.suppress(FileExistsError):
            return _linked(part, path)
    stem, dot, suffixes = path.name.partition(".")
    for turn in range(1000):
        other = path.with_name(f"{stem}.{os.getpid()}{f'-{turn}' if turn else ''}{dot}{suffixes}")
        with contextlib.suppress(FileExistsError):
            return _linked(part, other)
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def _linked(part: Path, path: Path) -> Path:
    """A new name, never in the place of another file.

    Raises:
        FileExistsError: it is taken.
        OSError: it cannot be made.
    """
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:  # some file systems know no links
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        part.replace(path)
    else:
        part.unlink()
    return path
