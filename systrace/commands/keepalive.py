"""`systrace keepalive`: turn on TCP keepalive in a running process, without stopping it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from systrace.commands import app, completing
from systrace.keepalive import COUNT, IDLE_S, INTERVAL_S

if TYPE_CHECKING:
    from systrace.kernel.keepalive import Change
    from systrace.model import Keepalive

_LONGEST_S = 32767  # MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL (include/net/tcp.h)


@app.command(short_help="Turn on TCP keepalive in a running process.")
def keepalive(
    pid: int = typer.Argument(
        metavar="PID", help="The process whose connections are meant.", autocompletion=completing.pids
    ),
    fd: Annotated[list[int] | None, typer.Option(metavar="N", help="Only this descriptor; may be repeated.")] = None,
    idle: str = typer.Option(f"{IDLE_S}s", metavar="TIME", help="Silence before the first probe (90, 90s, 5m)."),
    interval: str = typer.Option(f"{INTERVAL_S}s", metavar="TIME", help="Time between unanswered probes."),
    count: int = typer.Option(
        COUNT, metavar="N", help="Unanswered probes after which the connection fails with ETIMEDOUT."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show the present settings and change nothing."),
) -> None:
    """Set TCP keepalive on the live connections of a running process.

    A NAT gateway or load balancer that forgets idle connections (350 s on AWS) keeps those that are probed. If a peer
    has gone already, its blocked call fails with ETIMEDOUT instead of hanging for ever. The process is not stopped.

    Exit status: 0, or 2 when a connection could not be changed or there is none.
    """
    from systrace.errors import CaptureError
    from systrace.kernel.keepalive import apply, children_with_connections

    idle_s, interval_s = _whole("--idle", idle), _whole("--interval", interval)
    changes = apply(pid, tuple(fd or ()), idle_s=idle_s, interval_s=interval_s, count=count, dry_run=dry_run)
    if not changes:
        others = children_with_connections(pid)
        hint = "; its children do: " + ", ".join(f"systrace keepalive {child}" for child in others) if others else ""
        raise CaptureError(f"process {pid} holds no TCP connection{hint}")
    for change in changes:
        typer.echo(_line(change, dry_run=dry_run))
    failed = [change for change in changes if change.error]
    if failed:
        raise CaptureError(f"{len(failed)} of {len(changes)} connections could not be changed")
    if not dry_run:
        typer.echo(
            "If the peer is alive, probes hold the connection open and nothing else happens; if it has gone, "
            f"the program gets ETIMEDOUT within {idle_s + interval_s * count} s."
        )


def _whole(option: str, text: str) -> int:
    """Seconds as the kernel counts them.

    Raises:
        UsageError: no duration, or not such a one.
    """
    from systrace.errors import UsageError
    from systrace.units import seconds

    value = seconds(text)
    if value != int(value) or not 1 <= value <= _LONGEST_S:
        raise UsageError(f"{option} {text}: whole seconds from 1 to {_LONGEST_S} (9 h)")
    return int(value)


def _line(change: Change, *, dry_run: bool) -> str:
    where = f"fd {change.fd}  {change.local} -> {change.peer}  {change.state}  keepalive {_words(change.before)}"
    if change.error:
        return f"{where}, unchanged: {change.error}"
    return where if dry_run else f"{where} => {_words(change.after)}"


def _words(setting: Keepalive) -> str:
    timers = f"after {setting.idle_s} s, every {setting.interval_s} s, {setting.count} times"
    return timers if setting.on else f"off ({timers} if it were on)"
