"""Every file, pipe or device that a user names to be written is asked what it is before it is opened.

What stands there already keeps its mode, owner and bytes until the new file is whole: it is written under a name of its
own beside it (O_EXCL, O_NOFOLLOW, 0600) and renamed. What belongs to somebody else, a symbolic link that somebody else
made in a directory where anybody may (/tmp), directories, block devices and sockets are refused. Pipes and character
devices (/dev/null, /dev/stderr, a terminal) are written as they are, and never waited for without an end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from systrace.dataclass import dataclass
from systrace.errors import UsageError

READER_SECONDS = 2.0  # for a named pipe's reader to come
STALL_SECONDS = 10.0  # for the reader of a pipe to take the next bytes
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d{1,6})")
_STANDARD = {"-": 1, "/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_LINKS = 40  # path_resolution(7)
_LONGEST_STEM = 200  # bytes; NAME_MAX is 255
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class RefusedError(UsageError):
    """It can't, or must not, be written; says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is behind a name. `path` has no symbolic link at its end."""

    named: str  # as the user wrote it
    path: Path
    kind: str  # new, file, device, pipe, descriptor
    descriptor: int = -1
    key: tuple[int, int] | None = None  # device and inode of what is there
    changed_ns: int = 0  # when that was written

    @property
    def is_file(self) -> bool:
        """It is, or becomes, a regular file."""
        return self.kind in ("new", "file")


def place(name: str | Path) -> Place:
    """Look at what a name stands for; nothing is opened, made or changed.

    Raises:
        RefusedError: it must not be written, with the reason in one line.
    """
    named = str(name)
    path = Path(named)
    try:
        if _descriptor(named) is None:
            path = _resolved(path, named)
        number = _descriptor(named if named in _STANDARD else str(path))
        found = path.lstat() if number is None else os.fstat(number)
    except FileNotFoundError:
        return _new(named, path)
    except OSError as error:
        raise RefusedError(f"cannot write {named}: {error.strerror}") from None
    except ValueError as error:  # a NUL in it
        raise RefusedError(f"cannot write {named!r}: {error}") from None
    key = (found.st_dev, found.st_ino)
    if number is not None:
        return Place(named, path, "descriptor", number, key)
    return Place(named, path, _kind(named, path, found), -1, key, found.st_mtime_ns)


def by_number(target: str) -> str:
    """The name of a descriptor that is given by its number; all else as it is.

    >>> by_number("2"), by_number("2.log")
    ('/dev/fd/2', '2.log')
    """
    return f"/dev/fd/{int(target)}" if target.isascii() and target.isdecimal() and len(target) < 7 else target


def _descriptor(named: str) -> int | None:
    found = _DESCRIPTOR.fullmatch(named)
    return int(found[1]) if found is not None else _STANDARD.get(named)


def _new(named: str, path: Path) -> Place:
    parent = path.parent
    if not parent.is_dir():
        missing = "No such directory" if not parent.exists() else "Not a directory"
        raise RefusedError(f"cannot write {named}: {parent}: {missing}")
    if not os.access(parent, os.W_OK | os.X_OK, effective_ids=True):
        raise RefusedError(f"cannot write {named}: no permission to write in {parent}")
    return Place(named, path, "new")


def _kind(named: str, path: Path, found: os.stat_result) -> str:
    if stat.S_ISDIR(found.st_mode):
        raise RefusedError(f"cannot write {named}: it is a directory")
    if stat.S_ISBLK(found.st_mode):
        raise RefusedError(f"cannot write {named}: it is a block device")
    if stat.S_ISSOCK(found.st_mode):
        raise RefusedError(f"cannot write {named}: it is a socket")
    if stat.S_ISCHR(found.st_mode):
        return "device"
    if stat.S_ISFIFO(found.st_mode):
        if found.st_uid not in (0, os.geteuid()) and path.parent.stat().st_mode & stat.S_IWOTH:  # fs.protected_fifos
            raise RefusedError(f"cannot write {named}: the pipe belongs to {owner(found.st_uid)}")
        return "pipe"
    if found.st_uid != os.geteuid():
        raise RefusedError(
            f"cannot write {named}: the file belongs to {owner(found.st_uid)}: remove it, or name another"
        )
    return "file"


def owner(uid: int) -> str:
    """A user's name, or number."""
    import pwd

    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except (KeyError, OSError):
        return f"user {uid}"


def _resolved(path: Path, named: str) -> Path:
    """The path with the link at its end followed, where the link may be trusted.

    Raises:
        RefusedError: the link, or one on the way, is not ours to follow.
        OSError: a part of the way is not there.
    """
    _check_way(path, named)
    for _ in range(_LINKS):
        if _descriptor(str(path)) is not None or not path.is_symlink():
            return path
        link = path.lstat()
        if link.st_uid not in (0, os.geteuid()):
            raise RefusedError(f"cannot write {named}: {path} is a symbolic link of {owner(link.st_uid)}")
        path = path.parent / path.readlink()
        _check_way(path, named)
    raise RefusedError(f"cannot write {named}: too many symbolic links")


def _check_way(path: Path, named: str) -> None:
    """A link of somebody else's in a directory where anybody may make one (/tmp) is not followed (fs.protected_symlinks)."""
    for part in path.parents:
        try:
            link = part.lstat()
            if not stat.S_ISLNK(link.st_mode) or link.st_uid in (0, os.geteuid()):
                continue
            shared = part.parent.stat().st_mode & stat.S_IWOTH
        except OSError:
            continue
        if shared:
            raise RefusedError(f"cannot write {named}: {part} is a symbolic link of {owner(link.st_uid)}")


def distinct(outputs: Iterable[tuple[str, Place | None]], inputs: Iterable[str | Path] = ()) -> None:
    """Nothing is written to twice, nor to what is read.

    Args:
        outputs: options and their places.
        inputs: files that are read; - for standard input.

    Raises:
        RefusedError: two are the same.
    """
    seen: dict[object, str] = {}
    for name in inputs:
        with contextlib.suppress(OSError, ValueError):
            found = os.fstat(0) if name == "-" else os.stat(name)  # noqa: PTH116 (of what is read, links and all)
            if stat.S_ISREG(found.st_mode):
                seen[found.st_dev, found.st_ino] = "standard input" if name == "-" else f"the input {name}"
    for option, where in outputs:
        if where is None or where.kind in ("device", "pipe"):
            continue
        key = _identity(where)
        if key in seen and not (where.kind == "descriptor" and not _is_regular(where.descriptor)):
            said = f"{option} {where.named}" if option.startswith("-") else option
            raise RefusedError(f"{said} is the same file as {seen[key]}")
        seen[key] = option


def _is_regular(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _identity(where: Place) -> object:
    if where.key is not None:
        return where.key
    parent = where.path.parent.stat()
    return parent.st_dev, parent.st_ino, where.path.name


def beside(path: Path, suffix: str) -> tuple[int, Path]:
    """Make a new file with mode 0600 beside `path`: its descriptor (read and write) and its name, `path` + `suffix`.

    A name that is taken gets a number.

    Raises:
        OSError: no new file can be made there.
    """
    flags = _NEW & ~os.O_WRONLY | os.O_RDWR
    stem = os.fsdecode(os.fsencode(path.name)[:_LONGEST_STEM])
    for turn in range(1000):
        name = path.with_name(f"{stem}{f'-{turn}' if turn else ''}{suffix}")
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(name, flags, 0o600)
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, 0o600)  # a umask that takes the owner's rights away is not meant for it
            return descriptor, name
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


@contextlib.contextmanager
def writing(where: Place) -> Iterator[BinaryIO]:
    """A stream to a place. What was there is replaced when all is written, and stays as it was if that fails.

    Raises:
        RefusedError: it cannot be written, or the disk is full.
    """
    try:
        if where.is_file:
            with _replacing(where) as out:
                yield out
        else:
            with os.fdopen(_opened(where), "wb") as out:
                yield out
    except OSError as error:
        if error.filename is not None and not _ours(error.filename, where):  # of another file
            raise
        if where.kind == "descriptor" and isinstance(error, BrokenPipeError):  # `/dev/stdout | head`
            raise
        raise RefusedError(f"cannot write {where.named}: {error.strerror}") from None


def _ours(filename: object, where: Place) -> bool:
    return str(filename).startswith(str(where.path)) or str(filename) == where.named


@contextlib.contextmanager
def _replacing(where: Place) -> Iterator[BinaryIO]:
    part: Path | None = None
    try:
        descriptor, part = beside(where.path, f".{os.getpid()}.part")
    except PermissionError:
        if where.kind != "file":
            raise
        descriptor = _nameless()  # the file is ours, its directory is not
    try:
        with os.fdopen(descriptor, "w+b") as out:
            yield out
            out.flush()
            if part is not None and _renamed(part, where):
                part = None
            else:
                _copy(out, where)
    finally:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink()


def _nameless() -> int:
    import tempfile  # here: it brings random and hashlib along, and few reports need it

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _renamed(part: Path, where: Place) -> bool:
    """Whether it took the place of what was there; a mount point, as of a file given to a container, is written in place."""
    try:
        part.replace(where.path)
    except OSError as error:
        if error.errno != errno.EBUSY or where.kind != "file":
            raise
        return False
    return True


def _copy(source: BinaryIO, where: Place) -> None:
    source.seek(0)
    with os.fdopen(_in_place(where), "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)


def _in_place(where: Place) -> int:
    descriptor = os.open(where.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if (found.st_dev, found.st_ino) != where.key or found.st_nlink != 1:
        os.close(descriptor)
        raise RefusedError(
            f"cannot write {where.named}: it was replaced meanwhile, or has other hard links: name another file"
        )
    os.ftruncate(descriptor, 0)
    return descriptor


def _opened(where: Place) -> int:
    """A descriptor of what is no regular file.

    Raises:
        RefusedError: a pipe without a reader.
        OSError: it cannot be opened.
    """
    if where.kind == "descriptor":
        return os.dup(where.descriptor)
    flags = os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW
    if where.kind == "device":
        return _same(where, os.open(where.path, flags))
    until = time.monotonic() + READER_SECONDS
    while True:
        try:
            descriptor = os.open(where.path, flags | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # fifo(7): nobody reads it
                raise
            if time.monotonic() > until:
                raise RefusedError(f"cannot write {where.named}: nobody reads this pipe") from None
            time.sleep(0.05)
        else:
            os.set_blocking(_same(where, descriptor), True)
            return descriptor


def _same(where: Place, descriptor: int) -> int:
    """The descriptor, if it is of what was looked at."""
    found = os.fstat(descriptor)
    if (found.st_dev, found.st_ino) != where.key:
        os.close(descriptor)
        raise RefusedError(f"cannot write {where.named}: it has just been changed")
    return descriptor


def appending(where: Place) -> int:
    """A descriptor to which text is added as it comes: at the end of a file of ours, which is made where there is none.

    A named pipe's reader may come later, or never: it is not waited for.

    Raises:
        RefusedError: it cannot be written.
    """
    try:
        if where.kind == "descriptor":
            return where.descriptor
        if where.kind == "new":
            try:
                return os.open(where.path, _NEW | os.O_APPEND, 0o600)
            except FileExistsError:
                return appending(place(where.named))  # somebody else has made it just now
        mode = os.O_RDWR if where.kind == "pipe" else os.O_WRONLY | os.O_APPEND
        descriptor = os.open(where.path, mode | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise RefusedError(f"cannot write {where.named}: {error.strerror}") from None
    return _same(where, descriptor)


def write_all(
    descriptor: int,
    data: bytes | memoryview,
    stall_seconds: float = STALL_SECONDS,
    within_seconds: float = float("inf"),
) -> None:
    """Write it all, waiting at most `stall_seconds` for each piece to be taken, and `within_seconds` for all.

    Raises:
        OSError: it cannot be written; TimeoutError where nobody takes it.
    """
    view = memoryview(data)
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    until = time.monotonic() + within_seconds
    while view:
        if not poll.poll(max(0.0, min(stall_seconds, until - time.monotonic())) * 1000):
            raise TimeoutError(errno.ETIMEDOUT, "nobody reads it")
        view = view[os.write(descriptor, view[: select.PIPE_BUF]) :]
