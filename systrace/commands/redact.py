"""`systrace redact LOG -o OUT`: a recording without secrets, to be passed on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from systrace.commands import app, say
from systrace.commands.options import RedactNames

HELP = """Write a recording without its secrets, that parses to the same verdict.

Passwords, tokens, cookies and keys within strace's strings become masks of the same length; the same secret has the
same mask. LOG is read twice, so it must be a file. OUT is plain text with mode 0600; a file of that name is replaced
only with --force.

--redact-names replaces addresses by those that are reserved for documentation, hosts, users and home directories by
others of the same length. Ports stay. Look at the result before you pass it on: names that are in no form that
tells what they are stay.

Exit status: 0, or 2 when LOG could not be read or OUT could not be written.
"""


@app.command(help=HELP, short_help="A recording without secrets, to be passed on.")
def redact(
    log: Annotated[str, typer.Argument(metavar="LOG", help="strace's output, a file.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The new recording.")],
    redact_names: RedactNames = False,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
) -> None:
    """See HELP."""
    from systrace.commands.reading.loop import the_one
    from systrace.commands.reading.output import is_there, opened, output_place
    from systrace.errors import InputError, UsageError
    from systrace.masking.names import Names
    from systrace.masking.recording import Redaction

    where = output_place(output, [log])
    if where is not None and where.kind == "file" and not force:
        raise UsageError(f"{output} is there: name another file, or add --force")
    if not is_there(log) and log != "-":
        raise InputError(f"{log}: no such file")
    if not os.path.isfile(log):  # noqa: PTH113 (names that are too long)
        raise UsageError(f"{log}: redact reads a file twice: name a file")
    redaction = Redaction(Names() if redact_names else None)
    recording = the_one([log])
    redaction.learn(recording.inputs[0].lines)
    if (complaint := recording.complaint()) is not None:
        raise InputError(complaint)
    with opened(where) as out:
        for line in redaction.redacted(the_one([log]).inputs[0].lines):
            out.write(line)
    say(f"{output}: {redaction.lines} lines, {redaction.masks.count} secrets masked")
