"""Options that mean the same in several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# run and attach say --report where the commands that read logs say --output: these take both words.
READING = {"token_normalize_func": lambda name: "output" if name == "report" else name}
Save = Annotated[Path | None, typer.Option(metavar="FILE", help="Keep the recording (.gz, .xz, .bz2, .zst).")]
Style = Annotated[str, typer.Option("--format", metavar="NAME", help="The report: table or json.")]
TracerName = Annotated[
    str | None, typer.Option("--tracer", metavar="NAME", help="strace or embedded; else the first that works.")
]
Output = Annotated[Path | None, typer.Option(metavar="FILE", help="Write to a file instead of standard output.")]
StringLimit = Annotated[
    int, typer.Option("--string-limit", "-s", min=64, metavar="N", help="Bytes recorded of each read or write.")
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
