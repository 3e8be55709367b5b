"""`systrace doctor`: what is here and what is missing for tracing on this machine."""

from __future__ import annotations

import typer

from systrace.commands import app
from systrace.commands.options import table_or_json

_SIGNS = {"ok": "ok     ", "note": "note   ", "warning": "WARNING", "fault": "FAULT  "}
_INDENT = " " * 9


@app.command(short_help="What this machine allows, and what is missing.")
def doctor(
    style: str = typer.Option("table", "--format", metavar="NAME", help="table, or json: one object a line."),
    json_output: bool = typer.Option(False, "--json", hidden=True),
) -> None:
    """Check strace, permissions, the kernel, its TCP settings and the optional tools.

    Each line that is not "ok" says what is lost and the command that mends it.

    Exit status: 0, or 1 if tracing cannot work.
    """
    import dataclasses
    import json
    import sys

    from systrace.kernel.checks import FAULT, all_checks
    from systrace.reporters.layout import PIPED_WIDTH, Layout
    from systrace.reporters.text import wrap
    from systrace.tracers.embedded import Embedded

    json_output |= table_or_json(style) == "json"
    checks = all_checks(Embedded().unavailable())
    width = max(len(check.name) for check in checks)
    columns = Layout.of(sys.stdout.buffer).width if sys.stdout is not None else PIPED_WIDTH
    for check in checks:
        if json_output:
            typer.echo(json.dumps(dataclasses.asdict(check)))
            continue
        lead = f"{_SIGNS[check.level]}  {check.name:{width}}  "
        lines = wrap(check.found, columns, lead, " " * (len(lead) if columns >= 72 else len(_INDENT)))
        if check.level != "ok":
            lines += wrap(check.cost, columns, f"{_INDENT}cost: ", f"{_INDENT}      ") if check.cost else []
            lines += [f"{_INDENT}mend: {check.mend}"] if check.mend else []  # in one piece, to be copied
        typer.echo("\n".join(lines))
    if any(check.level == FAULT for check in checks):
        raise typer.Exit(1)
