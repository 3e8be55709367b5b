"""Metrics in a file for node_exporter's textfile collector (https://github.com/prometheus/node_exporter#textfile-collector).

The file is replaced as a whole, so that no scrape sees half of it, and has no timestamps in it, which the collector
refuses. One file is of one job.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from systrace.outputs import Place, write_all, writing
from systrace.telemetry import TELL_SECONDS, JobRun, Outlet, outlet
from systrace.telemetry.measures import LAST_RUN, LAST_SUCCESS, MEASURES, PREFIX
from systrace.telemetry.targets import own_place
from systrace.words import safe

_MODE = 0o644  # the collector runs as a user of its own, and nothing in it is secret
_LONGEST = 200  # characters of a label's value
_MOST_READ = 1 << 16  # bytes of the file's previous version


@outlet
class Metrics(Outlet):
    """`--metrics FILE.prom`."""

    name = "metrics"
    takes = "FILE.prom"
    help = "Write metrics of the run there, for node_exporter's textfile collector."

    def checked(self, target: str) -> Place:
        """The file."""
        return own_place(target)

    def tell(self, run: JobRun, target: str, report: bytes | memoryview) -> None:
        """Replace the file."""
        where = own_place(target)
        old = _read(where) if where.kind == "file" else b""
        data = exposition(run, run.ended_s if not run.failed else last_success(old, run.job)).encode()
        mode = stat.S_IMODE(where.path.stat().st_mode) if where.kind == "file" else _MODE
        with writing(where) as out:
            if not where.is_file:
                write_all(out.fileno(), data, within_seconds=TELL_SECONDS)
                return
            out.write(data)
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())  # after a crash the new name must not stand for an empty file


def exposition(run: JobRun, succeeded_s: float | None) -> str:
    """The text format of Prometheus, version 0.0.4; `succeeded_s` is when the job succeeded last, None: nobody knows."""
    rows = [(each.name, each.help, each.value(run), _labels(run, each.labels)) for each in MEASURES]
    rows.append((LAST_RUN, "When the last run ended (Unix time).", run.ended_s, _labels(run)))
    rows.append((LAST_SUCCESS, "When the last run that did not fail ended (Unix time).", succeeded_s, _labels(run)))
    return "".join(_lines(rows))


def _lines(rows: list[tuple[str, str, float | None, str]]) -> Iterator[str]:
    for name, told, value, labels in rows:
        if value is not None:
            yield f"# HELP {PREFIX}{name} {told}\n# TYPE {PREFIX}{name} gauge\n"
            yield f"{PREFIX}{name}{{{labels}}} {_number(value)}\n"


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _labels(run: JobRun, more: tuple[str, ...] = ()) -> str:
    values = {"job": run.job, "cause": run.cause, "peer": run.peer}
    return ",".join(f'{name}="{label(values[name])}"' for name in ("job", *more))


def label(text: str) -> str:
    r"""A label's value: backslash, quote and newline are escaped, what a terminal would obey is shown as \xNN.

    >>> label('a"b\\c\nd\x1b')
    'a\\"b\\\\c\\nd\\\\x1b'
    """
    lines = text[:_LONGEST].split("\n")
    return "\\n".join(safe(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)


def _read(where: Place) -> bytes:
    descriptor = os.open(where.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MOST_READ)


def last_success(old: bytes, job: str) -> float | None:
    """When the job succeeded last, by a file of metrics; None where that does not say it of this job."""
    series = f'{PREFIX}{LAST_SUCCESS}{{job="{label(job)}"}} '.encode()
    found = re.search(rb"(?m)^" + re.escape(series) + rb"(\d{1,12}(?:\.\d{1,9})?)$", old)
    return float(found[1]) if found is not None else None
