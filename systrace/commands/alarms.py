"""`systrace alarms`: rules that watch for what `systrace run` tells monitoring."""

from __future__ import annotations

import typer
from typer.core import TyperOption

from systrace.commands import app
from systrace.commands.plugged import Plugged, option

HELP = """Print rules, alarms or queries for what `systrace run` tells monitoring (--metrics, --emf). Nothing is created.

systrace alarms --prometheus > /etc/prometheus/rules/systrace.yml

systrace alarms --cloudformation > alarms.yml, then: aws cloudformation deploy --template-file alarms.yml ...

Exit status: 0, or 2 unless one style is named.
"""


class _Alarms(Plugged):
    """Each style is an option."""

    def plugged(self) -> list[TyperOption]:
        """All styles."""
        from systrace.telemetry import ALARMS

        return [option(name, "", each.help) for name, each in ALARMS.items()]


@app.command(cls=_Alarms, help=HELP, short_help="Rules and alarms for monitoring.")
def alarms(context: typer.Context) -> None:
    """See HELP."""
    from systrace.errors import UsageError
    from systrace.telemetry import ALARMS

    chosen = list(context.obj or {})
    if len(chosen) != 1:
        raise UsageError(f"alarms: name one style: {', '.join(f'--{name}' for name in ALARMS)}")
    typer.echo(ALARMS[chosen[0]].text(), nl=False)
