"""The other side's log: access logs of balancers, proxies and web servers, held against the requests of the trace.

`formats` has a file for each kind of log, found by walking it; `reading` opens a log and finds out which it is;
`matching` finds the line of each request, or says that it can't.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from systrace.dataclass import dataclass
from systrace.registry import Registry


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as the server's side saw it. Times are Unix time in ns; None where the log does not tell."""

    line: int
    end_ns: int
    took_ns: int | None
    status: int | None
    method: str = ""
    target: str = ""  # path and query, or a URL
    client: str = ""
    port: int | None = None
    sent: int | None = None  # bytes of the answer
    host: str = ""  # that was asked for
    gave_up: str = ""  # client: it went away first; server: a balancer gave up on what is behind it
    vague: bool = False  # the time that it took may be another number

    @property
    def start_ns(self) -> int:
        """When the request came, as far as is known."""
        return self.end_ns - (self.took_ns or 0)


class Format(Protocol):
    """A kind of access log."""

    name: str  # for people
    example: str  # a line of it
    zoned: bool = True  # its times are of a known zone

    def entry(self, text: str, line: int) -> Entry | None:
        """What a line says; None where it is of another kind.

        Raises:
            ValueError: a time or number in it is none.
            OverflowError: it is none that there can be.
        """


FORMATS: Registry[Format] = Registry("systrace.serverlogs.formats")
F = TypeVar("F", bound="Format")


def log_format(kind: type[F]) -> type[F]:
    """Enter a format class."""
    FORMATS.add(kind.name, kind())
    return kind
