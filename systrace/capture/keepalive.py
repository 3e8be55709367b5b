"""`run --keepalive`: switches keepalive on for each TCP connection of the job, from outside, as it is made.

The analyst sees the connect; systrace itself, the job's parent, does it: only an ancestor may where Yama restricts
ptrace.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from systrace.errors import UsageError
from systrace.keepalive import ADVISED
from systrace.units import seconds

if TYPE_CHECKING:
    from systrace.kernel.pidfd import Target
    from systrace.model import Event

FAILURES_SHOWN = 3
JOIN_SECONDS = 1.0  # the last connects may still be on their way through the pipe


class Keepalives:
    """The setting, and the pipe between who sees and who acts."""

    def __init__(self, text: str) -> None:
        """Raises UsageError as `parse`."""
        self._numbers = self.parse(text)
        self._reader, self.writer = os.pipe()
        self._failures: list[str] = []
        self._failed = 0
        self._server: threading.Thread | None = None

    @staticmethod
    def parse(text: str) -> list[int]:
        """`IDLE,INTERVAL,COUNT`: two durations in whole seconds, and a number of probes.

        Raises:
            UsageError: not three in tcp(7)'s ranges.
        """
        wrong = UsageError(f"--keepalive {text}: write IDLE,INTERVAL,COUNT in seconds and probes, such as {ADVISED}")
        words = text.split(",")
        if len(words) != 3 or not words[2].isdecimal():
            raise wrong
        try:
            numbers = [*(seconds(word) for word in words[:2]), float(words[2][:4])]
        except UsageError:
            raise wrong from None
        if not all(1 <= number <= 32767 and number == int(number) for number in numbers) or numbers[2] > 127:
            raise wrong
        return [int(number) for number in numbers]

    def see(self, event: Event) -> None:
        """In the analyst: pass on a connect to an internet address that began."""
        from systrace.model import Connected

        if (
            isinstance(event, Connected)
            and event.peer is not None
            and event.peer.family in ("inet", "inet6")
            and event.record.errno in (None, "EINPROGRESS")
        ):
            with contextlib.suppress(OSError):
                os.write(self.writer, b"%d %d %d\n" % (event.record.tid, event.fd, event.record.time_ns or 0))

    def start(self) -> None:
        """In systrace: act on what comes, in a thread, until the analyst ends."""
        os.close(self.writer)
        self._server = threading.Thread(target=self._serve, name="keepalive", daemon=True)
        self._server.start()

    def complaint(self) -> str | None:
        """Once the analyst has ended: on which connections it could not be switched on, and why."""
        if self._server is not None:
            self._server.join(JOIN_SECONDS)
        if not self._failed:
            return None
        more = self._failed - len(self._failures)
        shown = "; ".join(self._failures) + (f"; and {more} more" if more else "")
        return f"keepalive could not be switched on: {shown}"

    def _serve(self) -> None:
        with os.fdopen(self._reader, "rb") as lines:
            for line in lines:
                tid, fd, called_ns = map(int, line.split())
                self._apply(tid, fd, called_ns)

    def _apply(self, tid: int, fd: int, called_ns: int) -> None:
        import socket

        from systrace.kernel.pidfd import Target, domain_type_protocol, set_keepalive
        from systrace.tracers.waiting import status_field

        apply: Callable[[int, int, int, int], None] = set_keepalive
        try:
            with Target(int(status_field(tid, "Tgid") or tid)) as target:
                if not _made_the_call(target, tid, called_ns):
                    raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
                with target.duplicate(fd) as mine:
                    kind = domain_type_protocol(mine)
                    if kind is not None and kind[2] == socket.IPPROTO_TCP:
                        apply(mine, *self._numbers)
        except OSError as error:
            self._failed += 1
            if len(self._failures) < FAILURES_SHOWN:
                self._failures.append(f"descriptor {fd} of {tid}: {error.strerror}")


def _made_the_call(target: Target, tid: int, called_ns: int) -> bool:
    """Whether the thread `tid` of that process is the one that called then, and nobody who got its number since.

    A number is nobody else's while its owner lives: who has it and was there before the call has made it. The process
    is held already, and as it lives after the look, it is the one that was looked at.
    """
    from systrace.tracers.waiting import stat_fields, status_field

    fields = stat_fields(tid)
    if fields is None or status_field(tid, "Tgid") != str(target.pid) or not target.lives():
        return False
    age_ns = time.time_ns() - called_ns
    call_ticks = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - age_ns) * os.sysconf("SC_CLK_TCK") // 10**9
    return fields[1] <= call_ticks
