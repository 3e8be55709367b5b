"""What monitoring is told of a job's run: outlets, one file each in `outlets`; rules that watch for it in `alarms`.

Adding an outlet is adding a file with a class under `@outlet`: `systrace run` has an option of its name then. Adding a
style of alarms is the same with `@style` and `systrace alarms`. What is measured is one table, `measures.MEASURES`,
and all text of a `JobRun` is masked and has nothing in it that a terminal obeys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from systrace.dataclass import dataclass
from systrace.outputs import Place
from systrace.registry import Registry

TELL_SECONDS = 2.0  # no outlet keeps the job's status back for longer


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job, and what was concluded of it."""

    job: str  # as --job says, else the command's name
    host: str
    ended_s: float  # Unix time
    duration_s: float
    exit_status: int  # as a shell says it: 128+n for signal n
    failed: bool  # by its status, or by a finding of severity error or fatal
    outcome: str = "inconclusive"  # failed, hung, degraded, healthy, inconclusive
    cause: str = "inconclusive"
    variant: str = ""
    confidence: str = ""
    peer: str = ""  # the culprit's; no other is named, so that there are as many time series as there are culprits
    headline: str = ""
    evidence: tuple[str, ...] = ()  # of the verdict's finding: "line 93: ..."
    longest_silence_s: float | None = None  # of a connection over the network; None: there was none
    recording: str = ""  # the file, where it is kept


class Outlet(Protocol):
    """One way to tell monitoring: `run --NAME TAKES`."""

    name: str
    takes: str = ""  # FILE, URL; "" for an option that stands alone
    help: str
    report: str = ""  # a format of `systrace.reporters` that it passes on

    def checked(self, target: str) -> Place | None:
        """What it will write, if that is a file; called before the job starts.

        Raises:
            SystraceError: it makes no sense, or must not be written.
        """
        return None

    def tell(self, run: JobRun, target: str, report: bytes | memoryview) -> None:
        """Tell of it, within TELL_SECONDS. `report` is empty where none could be made.

        Raises:
            SystraceError, OSError: it could not be told.
        """


@dataclass(frozen=True, slots=True)
class Alarms:
    """One style of rules: `systrace alarms --NAME`."""

    name: str
    help: str
    text: Callable[[], str]


OUTLETS: Registry[Outlet] = Registry("systrace.telemetry.outlets")
ALARMS: Registry[Alarms] = Registry("systrace.telemetry.alarms")
O = TypeVar("O", bound="Outlet")  # noqa: E741


def outlet(kind: type[O]) -> type[O]:
    """Enter an outlet's class."""
    OUTLETS.add(kind.name, kind())
    return kind


def style(help: str) -> Callable[[Callable[[], str]], Callable[[], str]]:  # noqa: A002 (the option's help)
    """Enter a function that gives the text, under its module's name."""

    def enter(text: Callable[[], str]) -> Callable[[], str]:
        name = text.__module__.rpartition(".")[2]
        ALARMS.add(name, Alarms(name, help, text))
        return text

    return enter
