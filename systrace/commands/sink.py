"""`systrace sink`: a server that accepts and stays silent, for an idle test of a path."""

from __future__ import annotations

from typing import Annotated

import typer

from systrace.commands import app

HELP = """Accept connections and say nothing, until Ctrl-C: the far end for `systrace check --idle`.

Most servers close a connection that says nothing within a minute, so they cannot show a path's longer limit. Run this on
a host beyond the same gateway, and check from the job's host: systrace check --idle HOST:PORT

What is sent to it is thrown away. It holds 256 connections at most.

Exit status: 0, or 2 where it cannot listen.
"""


@app.command(help=HELP, short_help="Accept and stay silent: the far end of an idle test.")
def sink(
    listen: Annotated[str, typer.Option(metavar="[ADDRESS:]PORT", help="Where; all addresses unless one is named.")],
    for_: Annotated[str | None, typer.Option("--for", metavar="TIME", help="End after so long (2h).")] = None,
) -> None:
    """See HELP."""
    from systrace.errors import UsageError
    from systrace.probes import sink as silent
    from systrace.probes.target import address_of, joined
    from systrace.units import seconds

    host, _, port = listen.rpartition(":")
    address = address_of(host)
    if not port.isascii() or not port.isdecimal() or int(port) > 65535 or (host and not address):
        raise UsageError(f"--listen {listen}: write PORT, or ADDRESS:PORT")
    listener = silent.listen(address, int(port))
    typer.echo(f"listening on {joined(address or '*', listener.getsockname()[1])}; Ctrl-C ends it")
    silent.serve(listener, typer.echo, seconds(for_) if for_ is not None else None)
