"""What is measured of a run: one table for all outlets, and for the rules that watch for it."""

from __future__ import annotations

from collections.abc import Callable

from systrace.dataclass import dataclass
from systrace.telemetry import JobRun

NAMESPACE = "systrace"  # of CloudWatch
PREFIX = "systrace_job_"  # of Prometheus' names
LONG_SILENCE_S = 300  # the shortest limit of a NAT gateway in wide use is 350 s (idle_limits.toml)


@dataclass(frozen=True, slots=True)
class Measure:
    """One number. Names are those of the conventions at each place."""

    name: str  # Prometheus: behind PREFIX, with its unit
    member: str  # CloudWatch: metric, and member of the event
    unit: str  # CloudWatch's word (MetricDatum)
    help: str
    value: Callable[[JobRun], float | None]  # None: not known
    labels: tuple[str, ...] = ()  # Prometheus: fields of JobRun beside `job`


FAILED = Measure(
    "failed",
    "Failed",
    "Count",
    "1 if the exit status or the verdict of the last run was bad, else 0.",
    lambda run: int(run.failed),
    ("cause", "peer"),
)
DURATION = Measure("duration_seconds", "Duration", "Seconds", "How long the last run took.", lambda run: run.duration_s)
STATUS = Measure(
    "exit_status", "ExitStatus", "None", "Of the last run; 128+n for signal n.", lambda run: run.exit_status
)
SILENCE = Measure(
    "longest_silence_seconds",
    "LongestSilence",
    "Seconds",
    "The longest time without a byte on one of its connections.",
    lambda run: run.longest_silence_s,
)
MEASURES = (FAILED, DURATION, STATUS, SILENCE)

# Points in time, which CloudWatch has beside each value: Prometheus only.
LAST_RUN = "last_run_timestamp_seconds"
LAST_SUCCESS = "last_success_timestamp_seconds"
