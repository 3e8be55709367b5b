"""Which recordings lie below the paths of a command line, and how each is known again.

A recording is known by its name and by its content: the size, and a digest of the first and last 64 kB of each of its files.
A log that grew, was cut or rewritten differs there; the whole of a terabyte need not be read to pass it over. strace's lines
carry times, and what is compressed ends with a checksum of all of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from systrace.dataclass import dataclass
from systrace.errors import InputError, UsageError
from systrace.fleet.objects import is_url, listed
from systrace.fleet.parts import STATE, SUFFIX, is_store
from systrace.fleet.tables import TABLES
from systrace.sources.logfile import siblings

_BLOCK = 1 << 16
_IN_WORK = ".part"  # of `run --save`: it has its name when it is whole
_OF_RESULTS = re.compile(rf"/(?:{'|'.join((STATE, *TABLES))})/part-[0-9a-f]+-[0-9a-f]+{re.escape(SUFFIX)}\Z")
_WORDS = ("host", "job", "date")


@dataclass(frozen=True, slots=True)
class Found:
    """One recording; or an archive of some, or anything else: nobody has looked inside yet."""

    name: str  # of its first file
    files: tuple[str, ...]
    content: str  # digest

    @property
    def key(self) -> str:
        """Its own among all recordings."""
        return key_of(self.name, self.content)


def key_of(name: str, content: str) -> str:
    """A recording's key: what has the same content under two names is two recordings."""
    return _digest(os.fsencode(name), content.encode())


def _digest(*parts: bytes) -> str:
    whole = hashlib.blake2b(digest_size=12)
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def find(paths: Sequence[str], recursive: bool, leave_out: str | None = None) -> tuple[list[Found], list[str]]:
    """(recordings, a line about each path that cannot be read), in the order of the paths, then of names.

    Args:
        paths: files and folders. What a user names is followed where it is a link; links inside of folders are not.
        recursive: folders within folders, too.
        leave_out: a folder that is not looked into: that of the results.
    """
    complaints: list[str] = []
    files: list[str] = []
    tags: dict[str, str] = {}
    for path in paths:
        if is_url(path):
            tags |= _objects(path, recursive, leave_out, complaints)
            continue
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 (a name with a NUL is no Path)
        except (OSError, ValueError) as error:
            complaints.append(f"{path}: {getattr(error, 'strerror', None) or error}")
            continue
        if stat.S_ISDIR(mode) and is_store(Path(path)):
            complaints.append(f"{path}: these are results (of --into), no logs: `systrace query` asks them")
        elif stat.S_ISDIR(mode):
            files += _inside(path, recursive, leave_out, complaints)
        elif stat.S_ISREG(mode):
            files.append(path)
        else:
            complaints.append(f"{path}: neither a file nor a folder")
    found = []
    for members in siblings(dict.fromkeys([*files, *tags])):
        names = [name for _tid, name in members]
        try:
            content = _digest(*(tags[name].encode() for name in names)) if names[0] in tags else content_of(names)
            found.append(Found(names[0], tuple(names), content))
        except OSError as error:
            complaints.append(f"{error.filename or names[0]}: {error.strerror or error}")
    return found, complaints


def _objects(url: str, recursive: bool, leave_out: str | None, complaints: list[str]) -> dict[str, str]:
    """Name -> what tells its content apart."""
    try:
        found = listed(url, recursive)
    except InputError as error:
        complaints.append(str(error))
        return {}
    apart = f"{leave_out.rstrip('/')}/" if leave_out is not None else None
    tags = {
        name: tag
        for name, tag in found
        if not (apart is not None and name.startswith(apart))
        and not _passed_over(name.rpartition("/")[2])
        and not _OF_RESULTS.search(name)
    }
    if not tags:
        complaints.append(f"{url}: no recordings there")
    return tags


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name.endswith(_IN_WORK) or not name


def _inside(top: str, recursive: bool, leave_out: str | None, complaints: list[str]) -> Iterator[str]:
    def say(error: OSError) -> None:
        if error.filename == top or not isinstance(error, FileNotFoundError):
            complaints.append(f"{error.filename}: {error.strerror}")

    apart = os.stat(leave_out) if leave_out is not None and os.path.exists(leave_out) else None  # noqa: PTH110, PTH116
    for folder, folders, names in os.walk(top, onerror=say):
        below = [each for each in sorted(folders) if not each.startswith(".")] if recursive else []
        folders[:] = [each for each in below if not _is_apart(os.path.join(folder, each), apart, complaints)]  # noqa: PTH118
        for name in sorted(names):
            if not _passed_over(name):
                path = os.path.join(folder, name)  # noqa: PTH118 (a thousand times a second)
                status = _status(path, complaints)
                if status is not None and stat.S_ISREG(status.st_mode):
                    yield path


def _is_apart(folder: str, apart: os.stat_result | None, complaints: list[str]) -> bool:
    """Results: of this run, or of another one."""
    status = _status(folder, complaints)
    return status is None or (apart is not None and os.path.samestat(status, apart)) or is_store(Path(folder))


def _status(path: str, complaints: list[str]) -> os.stat_result | None:
    """None for what went since it was listed: that is no reason to read nothing else."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        complaints.append(f"{path}: {getattr(error, 'strerror', None) or error}")
        return None


def content_of(files: Sequence[str]) -> str:
    """The digest of a recording's files.

    Raises:
        OSError: one cannot be read.
    """
    parts = []
    for name in files:
        with open(name, "rb", buffering=0) as file:  # noqa: PTH123
            size = os.fstat(file.fileno()).st_size
            parts += [size.to_bytes(8, "big"), file.read(_BLOCK)]
            if size > _BLOCK:
                file.seek(max(_BLOCK, size - _BLOCK))
                parts.append(file.read(_BLOCK))
    return _digest(*parts)


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of all recordings that one of several hosts reads: 1/3, 2/3 and 3/3 are all of them."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`2/3`.

        Raises:
            UsageError: another form.
        """
        match = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text)
        if match is None or int(match[1]) > int(match[2]):
            raise UsageError(f"--shard {text}: write 1/3, 2/3 and 3/3 for three hosts")
        return cls(int(match[1]), int(match[2]))

    def has(self, found: Found) -> bool:
        """By the content, which is the same wherever a file system is mounted."""
        return int(found.content[:12], 16) % self.of == self.number - 1


class PathPattern:
    """`{host}/{date}/{job}.strace*`: what the path of a recording says about it."""

    def __init__(self, text: str) -> None:
        """Check it.

        Raises:
            UsageError: a word that is none of host, job, date, or twice the same.
        """
        pieces = re.split(r"\{(\w*)\}|(\*)", text)
        words = [each for each in pieces[1::3] if each is not None]
        if not words or not set(words) <= set(_WORDS) or len(set(words)) < len(words):
            raise UsageError(f"--path-pattern {text}: use {{host}}, {{job}}, {{date}}, each once, and *")
        regex = ""
        for literal, word, star in zip(pieces[::3], [*pieces[1::3], None], [*pieces[2::3], None], strict=True):
            regex += re.escape(literal)
            regex += f"(?P<{word}>[^/]+?)" if word else "[^/]*" if star else ""
        self._regex = re.compile(rf"(?:.*/)?{regex}", re.DOTALL)

    def of(self, name: str) -> dict[str, str]:
        """`{"host": ..., "job": ..., "date": ...}`, as far as the path fits."""
        match = self._regex.fullmatch(name)
        return {word: value for word, value in match.groupdict().items() if value} if match is not None else {}
