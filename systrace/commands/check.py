"""`systrace check`: ask the network about the peers that a log accuses, or that are named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from systrace.commands import app
from systrace.commands.options import table_or_json

HELP = """Find out from here what is wrong with a peer: LOG (the peer that it accuses), HOST:PORT, or a URL.

Its name is asked of each nameserver, its addresses are connected to, SYNs that die are followed hop by hop, TLS is tried
where it is spoken. Nothing is sent to the peer beyond that, unless --tls or --http ask for it. No root is needed.

--idle proves an idle limit of the path: silent connections are left alone, each for another time, and then probed by the
kernel without payload; others have keepalive on. It takes as long as the longest silence (375 s), twice that where the
limit is none of the catalogue.

Exit status: 0 nothing found, 1 something found, 2 it could not be asked.
"""
_DEFAULT_IDLE = "375s"
_TIME = re.compile(r"\d+(\.\d+)?(ms|s|m|min|h)?")


class _Check(TyperCommand):
    """`--idle` may stand alone: it then means 375 s."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's."""
        return super().parse_args(ctx, time_filled_in(args))


def time_filled_in(args: list[str]) -> list[str]:
    """The arguments with a time in place of a bare `--idle`."""
    for at, word in enumerate(args):
        if word == "--":
            break
        if word == "--idle":
            known = at + 1 < len(args) and _TIME.fullmatch(args[at + 1]) is not None
            return [*args[:at], f"--idle={args[at + 1] if known else _DEFAULT_IDLE}", *args[at + 1 + known :]]
    return args


@app.command(cls=_Check, help=HELP, short_help="Ask the network what is wrong with a peer; prove an idle limit.")
def check(
    peers: Annotated[list[str], typer.Argument(metavar="LOG|HOST:PORT|URL...", help="What to ask about.")],
    idle: Annotated[
        str | None, typer.Option(metavar="[TIME]", help="Look for an idle limit of up to so long (375s).")
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="Send HEAD of the URL, without credentials.")] = False,
    tls: Annotated[bool, typer.Option("--tls", help="Try TLS, even where nothing speaks of it.")] = False,
    netns: Annotated[
        int | None, typer.Option(metavar="PID", help="From the network namespace of this process (needs root).")
    ] = None,
    save_facts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was found, for parse --context FILE.")
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Add it to LOG, as `# systrace:` lines.")] = False,
    limits: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own idle limits (TOML): [[limit]] with product, idle_s.")
    ] = None,
    style: Annotated[
        str, typer.Option("--format", metavar="NAME", help="table, or json: one object a target.")
    ] = "table",
) -> None:
    """See HELP."""
    from systrace.commands.reading.checking import Course, facts_added, facts_place, recording_place, targets_of
    from systrace.errors import UsageError
    from systrace.idle_limits import read
    from systrace.units import seconds

    as_json = table_or_json(style) == "json"
    longest_s = seconds(idle) if idle is not None else None
    places = [recording_place(peers)] if add else []
    places += [facts_place(save_facts, peers)] if save_facts is not None else []
    targets = targets_of(peers, netns)
    if longest_s is not None and len(peers) != 1:
        raise UsageError(f"--idle asks one peer at a time, and {len(peers)} are named")
    own = read(limits, users=True) if limits is not None else []
    course = Course(targets, http=http, tls=tls, as_json=as_json, limits=own)
    try:
        status = course.idle(longest_s) if longest_s is not None else course.probes()
    finally:  # Ctrl-C: what is known is kept
        for place in places:
            facts_added(place, course.found)
    raise typer.Exit(status)
