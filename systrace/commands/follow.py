"""`systrace follow LOG --socket S4`: what was said on one socket or pipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from systrace.commands import app, say
from systrace.commands.options import Output, ShowSecrets

if TYPE_CHECKING:
    from systrace.model import Analysis, Transcript
    from systrace.outputs import Place

HELP = """Print one conversation, both directions, with times, silences, and the gaps where strace -s cut.

Lines with > were sent by the traced program, lines with < received. HTTP is shown message by message, unpacked (chunks
joined, gzip and the like undone); other protocols block by block, with what was understood of them. Without --socket,
the sockets and pipes of the log are listed.

Passwords, tokens, cookies and keys are masked, each by a mask of its own length, unless --show-secrets is given.
--save-body writes bytes as they were, secrets included.

Exit status: 0, or 2 when LOG could not be read or has no such conversation.
"""
_LEAST, _MOST = 64 << 10, 4 << 30  # bytes kept of a conversation


@app.command(help=HELP, short_help="One conversation of a log, both directions.")
def follow(
    logs: Annotated[list[str], typer.Argument(metavar="LOG...", help="One recording; - for standard input.")],
    socket: Annotated[str, typer.Option(metavar="ID", help="A socket or pipe: S4, P1.")] = "",
    hexdump: Annotated[bool, typer.Option("--hex", help="As a hexdump, byte by byte as it went over.")] = False,
    show_secrets: ShowSecrets = False,
    save_body: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the last answer's body to a file, chunk framing and offered codings undone."
        ),
    ] = None,
    message: Annotated[
        int | None, typer.Option(metavar="N", help="The body of another message: N as in #N.", min=1)
    ] = None,
    limit: Annotated[
        str,
        typer.Option(
            metavar="SIZE", help="How much to keep (500k, 64M; a bare number: megabytes); the middle is left out."
        ),
    ] = "8M",
    keylog: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TLS session keys (SSLKEYLOGFILE format) of the recorded program."),
    ] = None,
    output: Output = None,
) -> None:
    """See HELP."""
    from systrace.commands.reading.analysis import analysis_of
    from systrace.commands.reading.loop import the_one
    from systrace.commands.reading.output import opened, output_place
    from systrace.errors import UsageError
    from systrace.model import Keep, Transcript
    from systrace.reporters.views.follow import follow as write

    if message is not None and save_body is None:
        raise UsageError("--message works only with --save-body FILE")
    option, path = ("--output", output) if save_body is None else ("--save-body", save_body)
    where = output_place(path, logs, (keylog,), option)
    transcript = Transcript(socket.strip().upper(), _size(limit))
    analysis = analysis_of(the_one(logs), Keep(transcript=transcript, secrets=show_secrets), keylog)
    if where is not None and save_body is not None:
        _save(analysis, transcript, where, message)
        return
    with opened(where) as out:
        write(analysis, transcript, out, hexdump=hexdump)


def _size(text: str) -> int:
    """A bare number means megabytes, as it always did here.

    Raises:
        UsageError: no size, or one that keeps nothing or fills the memory.
    """
    from systrace.errors import UsageError
    from systrace.units import size

    bytes_ = size(f"{text.strip()}M" if text.strip().isdecimal() else text)
    if not _LEAST <= bytes_ <= _MOST:
        raise UsageError(f"--limit {text}: from 64k to 4G")
    return bytes_


def _save(analysis: Analysis, transcript: Transcript, where: Place, number: int | None) -> None:
    from systrace.commands.reading.output import opened
    from systrace.errors import UsageError
    from systrace.reporters.views.follow import watched
    from systrace.reporters.views.saved_body import saved_body

    watched(analysis, transcript)
    body = saved_body(transcript, number)
    with opened(where) as out:
        if out.isatty():
            raise UsageError(f"--save-body {where.named}: raw bytes can do anything to a terminal: name a file")
        body.write(out)
    say(f"{where.named}: {body.summary()}")
