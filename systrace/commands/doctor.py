"""`systrace doctor`: what is here and what is missing for tracing on this machine."""

from __future__ import annotations

import typer

from systrace.commands import app

_SIGNS = {"ok": "ok     ", "note": "note   ", "warning": "WARNING", "fault": "FAULT  "}


@app.command()
def doctor(
    json_output: bool = typer.Option(False, "--json", help="One JSON object a line instead of text."),
) -> None:
    """Check strace, permissions, the kernel, its TCP settings and the optional tools.

    Each line that is not "ok" says what is lost and the command that mends it. Ends with 1 if tracing cannot work.
    """
    import dataclasses
    import json

    from systrace.kernel.checks import FAULT, all_checks
    from systrace.tracers.embedded import Embedded

    checks = all_checks(Embedded().unavailable())
    width = max(len(check.name) for check in checks)
    for check in checks:
        if json_output:
            typer.echo(json.dumps(dataclasses.asdict(check)))
            continue
        typer.echo(f"{_SIGNS[check.level]}  {check.name:{width}}  {check.found}")
        for label, text in (("cost", check.cost), ("mend", check.mend)):
            if text and check.level != "ok":
                typer.echo(f"{'':{width + 11}}{label}: {text}")
    if any(check.level == FAULT for check in checks):
        raise typer.Exit(1)
