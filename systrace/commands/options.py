"""Options that mean the same in several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from systrace.commands import completing

Save = Annotated[str | None, typer.Option(metavar="FILE", help="Keep the recording (.gz, .xz, .bz2, .zst).")]
Styles = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="table, json, html, markdown, pcapng, har, perfetto, ndjson, junit, lanes, otlp; else by the file's suffix.",
        autocompletion=completing.formats,
    ),
]
Outputs = Annotated[
    list[str] | None,
    typer.Option(
        "--output", "--report", metavar="FILE", help="Write the report there; several, one for each --format."
    ),
]
TracerName = Annotated[
    str | None,
    typer.Option(
        "--tracer",
        metavar="NAME",
        help="ebpf, embedded or strace; else the one that costs the job least.",
        autocompletion=completing.tracers,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "--report", metavar="FILE", help="Write to a file instead of standard output."),
]
Check = Annotated[
    bool, typer.Option("--check", help="After a failure, ask the network about the peer at once (see systrace check).")
]
ServerLogs = Annotated[
    list[str] | None,
    typer.Option("--server-log", metavar="FILE", help="The server's access log: ALB, nginx, Apache, HAProxy, Envoy."),
]
ShowSecrets = Annotated[
    bool, typer.Option("--show-secrets", help="Mask nothing: passwords, tokens, cookies are shown.")
]
Strings = Annotated[
    str, typer.Option("--string-limit", "-s", metavar="SIZE", help="Bytes recorded of each read or write (4096, 64k).")
]


def table_or_json(style: str) -> str:
    """The `--format` of a command that has these two.

    Raises:
        UsageError: another one.
    """
    if style not in ("table", "json"):
        from systrace.errors import UsageError

        raise UsageError(f"there is no format {style!r}: choose table or json")
    return style


Utc = Annotated[bool, typer.Option("--utc", help="Times in UTC, not in this machine's zone.")]
