"""One line for the local syslog, by the socket that syslog(3) uses.

Severities and the quoted elements are those of RFC 5424. The head is what daemons take at the local socket (`<PRI>`, local
time, tag): journald, and rsyslog as it is installed, read no RFC 5424 there and would show its head as text
(https://github.com/systemd/systemd/issues/19251, https://github.com/rsyslog/rsyslog/issues/4749).
"""

from __future__ import annotations

import errno
import os
import socket
import time

from systrace.errors import SystraceError
from systrace.telemetry import TELL_SECONDS, JobRun, Outlet, outlet
from systrace.words import clean

SOCKET = "/dev/log"
_FACILITY = 1  # user
_ERROR, _WARNING, _NOTICE, _INFO = 3, 4, 5, 6
_LONGEST = 2048  # bytes: what every receiver should take (RFC 5424, 6.1)


@outlet
class Syslog(Outlet):
    """`--syslog`."""

    name = "syslog"
    help = "Say the verdict in a line of the local syslog."

    def tell(self, run: JobRun, target: str, report: bytes | memoryview) -> None:
        """Send the line."""
        data = line(run, os.getpid())
        try:
            _send(data)
        except OSError as error:
            raise SystraceError(f"{SOCKET}: {error.strerror or error}") from None


def severity(run: JobRun) -> int:
    """RFC 5424, 6.2.1."""
    if run.failed or run.outcome in ("failed", "hung"):
        return _ERROR
    return {"degraded": _WARNING, "healthy": _INFO}.get(run.outcome, _NOTICE)


def line(run: JobRun, pid: int) -> bytes:
    """The whole message."""
    moment = time.localtime(run.ended_s)
    stamp = f"{time.strftime('%b', moment)} {moment.tm_mday:2} {time.strftime('%H:%M:%S', moment)}"
    facts = {"job": run.job, "outcome": run.outcome, "cause": run.cause, "peer": run.peer, "status": run.exit_status}
    told = " ".join(f'{name}="{_quoted(str(value))}"' for name, value in facts.items() if value != "")
    text = f"<{_FACILITY * 8 + severity(run)}>{stamp} systrace[{pid}]: [{told}] {clean(run.headline, _LONGEST)}"
    return text.encode()[:_LONGEST].decode("utf-8", "ignore").encode()


def _quoted(value: str) -> str:
    return clean(value, 200).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _send(data: bytes) -> None:
    """As datagram, else as stream, which ends a message with a NUL.

    Raises:
        OSError: nobody is there, or nobody takes it.
    """
    for kind, end in ((socket.SOCK_DGRAM, b""), (socket.SOCK_STREAM, b"\0")):
        with socket.socket(socket.AF_UNIX, kind) as way:
            way.settimeout(TELL_SECONDS / 2)
            try:
                way.connect(SOCKET)
            except OSError as error:
                if error.errno == errno.EPROTOTYPE:  # unix(7): it is of the other kind
                    continue
                raise
            way.sendall(data + end)
            return
    raise OSError(errno.EPROTOTYPE, os.strerror(errno.EPROTOTYPE))
