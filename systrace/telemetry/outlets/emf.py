"""CloudWatch's embedded metric format: an event of one JSON line, of which CloudWatch Logs makes metrics.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html: at most
30 dimensions, 100 metrics and 1 MB. The event must be that line and nothing else, so it is never mixed with the job's output.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from typing import Any

from systrace.outputs import Place, appending, write_all, writing
from systrace.telemetry import TELL_SECONDS, JobRun, Outlet, outlet
from systrace.telemetry.measures import MEASURES, NAMESPACE
from systrace.telemetry.targets import own_place
from systrace.words import clean, safe

DIMENSIONS = (("Job",), ("Job", "Cause"))
_SOON_S = 0.005
_ERRORS = 2  # the job writes there, too, and may have left a line without its end
_LONGEST_DIMENSION = 250  # characters
_LONGEST_TEXT = 2000
_MOST_EVIDENCE = 20  # lines


@outlet
class Emf(Outlet):
    """`--emf FILE|FD`."""

    name = "emf"
    takes = "FILE|FD"
    help = "Add a line of CloudWatch's embedded metric format there; a number is a descriptor (2: standard error)."

    def checked(self, target: str) -> Place:
        """The file or descriptor."""
        return own_place(target)

    def tell(self, run: JobRun, target: str, report: bytes | memoryview) -> None:
        """Add the event at the end."""
        where, began = own_place(target), time.monotonic()
        line = json.dumps(event(run), separators=(",", ":")).encode() + b"\n"
        if where.kind == "pipe":  # without a reader it would be lost without a word
            with writing(where) as out:
                write_all(out.fileno(), line, within_seconds=TELL_SECONDS - (time.monotonic() - began))
            return
        descriptor = appending(where)
        try:
            _add(descriptor, line)
        except OSError as error:
            raise OSError(error.errno, f"cannot write {where.named}: {error.strerror}") from None
        finally:
            if where.kind != "descriptor":
                os.close(descriptor)


def _add(descriptor: int, line: bytes) -> None:
    """In a file by one write(2), so that two jobs may share it; a line for which there is no room is taken back."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        shared = descriptor == _ERRORS and not os.isatty(descriptor)
        write_all(descriptor, b"\n" * shared + line, within_seconds=TELL_SECONDS)
        return
    with _alone(descriptor):
        size = os.fstat(descriptor).st_size
        line = b"\n" * _torn(descriptor, size) + line
        if (written := os.write(descriptor, line)) < len(line):
            if os.fstat(descriptor).st_size == size + written:
                os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """No other systrace writes there meanwhile; whoever stands still with the lock is not waited for."""
    until = time.monotonic() + TELL_SECONDS / 2
    locked = False
    while not locked and time.monotonic() < until:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            time.sleep(_SOON_S)
        except OSError:  # a file system without locks
            break
    try:
        yield
    finally:
        if locked:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def _torn(descriptor: int, size: int) -> bool:
    """Whether the file's last line has no end; of one that can't be read it may."""
    try:
        with open(f"/proc/self/fd/{descriptor}", "rb") as file:  # noqa: PTH123 (the descriptor itself is for writing only)
            return size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
    except OSError:
        return size > 0


def event(run: JobRun) -> dict[str, Any]:
    """The whole event."""
    values = {each.member: value for each in MEASURES if (value := each.value(run)) is not None}
    metrics = [{"Name": each.member, "Unit": each.unit} for each in MEASURES if each.member in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": [list(each) for each in DIMENSIONS], "Metrics": metrics}
    return {
        "_aws": {"Timestamp": int(run.ended_s * 1000), "CloudWatchMetrics": [directive]},
        "Job": dimension(run.job),
        "Cause": dimension(run.cause),
        **{name: round(value, 3) for name, value in values.items()},
        "Outcome": run.outcome,
        "Variant": run.variant,
        "Confidence": run.confidence,
        "Peer": clean(run.peer, _LONGEST_TEXT),
        "Headline": clean(run.headline, _LONGEST_TEXT),
        "Evidence": [clean(line) for line in run.evidence[:_MOST_EVIDENCE]],
        "Host": clean(run.host),
        "Recording": clean(run.recording, _LONGEST_TEXT),
    }


def dimension(text: str) -> str:
    """What CloudWatch takes as a dimension's value: ASCII, not blank, no colon at its beginning."""
    shown = safe(text).encode("ascii", "backslashreplace").decode()[:_LONGEST_DIMENSION]
    return shown.strip().lstrip(":") or "-"
