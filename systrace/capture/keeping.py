"""`--save-dir` and `--keep`: recordings under names of their own, the old ones removed; several runs may share a directory.

A name says which job, host, start and process: `nightly_export-db1-20261128T031500-4711.strace.gz`. No lock is needed:
nobody else's name is ever written to, and what another run removes first is gone all the same.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from systrace.dataclass import dataclass
from systrace.errors import UsageError
from systrace.units import seconds, size

SUFFIX = ".strace.gz"
LONGEST = 60  # characters of a job's name, or a host's
LONGEST_KEPT_S = 100 * 365 * 86400.0
IDLE_S = 86400.0  # a recording in work that nobody has written to for so long may be a dead one
_STAMP = r"-(?P<start>\d{8}T\d{6})-(?P<pid>\d{1,10})"
_DURATION = re.compile(r"[\d.]+\s?(?:s|min|h|d)", re.IGNORECASE)
_SIZE = re.compile(r"[\d.]+\s?[kmgt](?:i?b)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Keep:
    """How many recordings of a job, how old, and how much of the disk; None: no bound."""

    count: int | None = None
    age_s: float | None = None
    bytes: int | None = None

    @classmethod
    def parse(cls, text: str) -> Keep:
        """`14`, `30d`, `2G`, or several of them with commas.

        Raises:
            UsageError: neither.
        """
        found = cls()
        for part in text.split(","):
            word = part.strip()
            if word.isdecimal() and 0 < int(word) < 1_000_000_000:
                found = cls(int(word), found.age_s, found.bytes)
            elif _SIZE.fullmatch(word):
                found = cls(found.count, found.age_s, size(word))
            elif _DURATION.fullmatch(word):
                found = cls(found.count, seconds(word, LONGEST_KEPT_S), found.bytes)
            else:
                raise UsageError(
                    f"--keep {text}: write a number (14), an age (30d), a size (2G), or several: 14,30d,2G"
                )
        return found


def job_name(command: list[str], given: str | None) -> str:
    """What to call the job in names of files: letters, digits and `._-` only."""
    name = given if given is not None else Path(command[0]).name
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._-")[:LONGEST] or "job"


def new_name(job: str) -> str:
    """The name of the recording that begins now."""
    return f"{job}-{_host()}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}{SUFFIX}"


def _host() -> str:
    return re.sub(r"[^\w.-]+", "_", os.uname().nodename, flags=re.ASCII).strip("._-")[:LONGEST] or "host"


def prune(directory: Path, job: str, keep: Keep, spared: Path | None) -> list[str]:
    """Remove the job's recordings beyond the bounds, the oldest first; the newest one, `spared`, stays.

    Those in work are never touched; what a killed systrace has left behind (`.part`) counts like the others once its
    process is gone.

    Returns:
        What could not be removed, in words.
    """
    now = time.time()
    failed: list[str] = []
    total, kept = 0, 0
    for _start, path, found in sorted(_recordings(directory, job), key=lambda each: each[:2], reverse=True):
        too_many = keep.count is not None and kept >= keep.count
        too_old = keep.age_s is not None and now - found.st_mtime > keep.age_s
        too_large = keep.bytes is not None and total + found.st_size > keep.bytes
        if path != spared and (too_many or too_old or too_large):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                failed.append(f"{path}: {error.strerror}")
            continue
        kept += 1
        total += found.st_size
    return failed


def _recordings(directory: Path, job: str) -> Iterator[tuple[str, Path, os.stat_result]]:
    """Start, path and status of this job's recordings that this host has made: regular files of ours with such names."""
    name = re.compile(rf"{re.escape(f'{job}-{_host()}')}{_STAMP}{re.escape(SUFFIX)}(?P<part>\.\d+(?:-\d+)?\.part~?)?")
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            match = name.fullmatch(entry.name)
            with contextlib.suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                if match is None or not entry.is_file(follow_symlinks=False) or found.st_uid != os.geteuid():
                    continue
                if not (match["part"] and _in_work(int(match["pid"]), found)):
                    yield match["start"], Path(entry.path), found


def _in_work(pid: int, found: os.stat_result) -> bool:
    return time.time() - found.st_mtime < IDLE_S or Path(f"/proc/{pid}").exists()
