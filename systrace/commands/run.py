"""`systrace run -- COMMAND`: run a job as if systrace were not there, and say what went wrong with its sockets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from systrace.commands import app
from systrace.commands.options import Save, StringLimit, Style, TracerName

if TYPE_CHECKING:
    from systrace.commands.capture.job import Options

HELP = """Run COMMAND and report on its sockets when it ends.

The command keeps its standard input, output and error, terminal, signals, working directory and (see --tls-keys)
environment. The report goes to standard error: one line when all is well.

Children that outlive the command keep running and are not recorded any more. If systrace is killed, the command and the
recording go on (FILE.gz is then found as FILE.gz.part, plain text). If strace is killed, the command goes on; with
--no-seccomp without any trace of it, else a few of its calls may fail with ENOSYS in that instant. A program that is
set-user-id gets no rights under a filter, nor under strace unless root runs it: --no-seccomp as root keeps them.

Exit status: the command's own (128+n for signal n), or 2 when nothing was started; see --verdict-status.
"""
TLS_KEYS = """Look into TLS: set SSLKEYLOGFILE and NODE_OPTIONS so that the job logs its session keys (Node warns of
that). They are deleted afterwards, but a recording that is saved holds them: who has it reads what was said. Never
share it."""
ONE_CPU = """Keep job and tracer on one processor: tracing then slows most jobs down much less. Not for jobs that use
several processors at once: they see one."""


@app.command(
    help=HELP, short_help="Run a job, and say what went wrong.", context_settings={"allow_interspersed_args": False}
)
def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="The job and its arguments.")],
    save: Save = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="For the report, not standard error.")] = None,
    style: Style = "table",
    quiet: Annotated[bool, typer.Option("--quiet-if-healthy", help="No report when all is well (for cron).")] = False,
    verdict_status: Annotated[
        bool, typer.Option("--verdict-status", help="Exit with 1 on errors found, else 0, not with the job's status.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, metavar="N", help="Seconds; the job then goes on unrecorded.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Size of the recording (64M, 2G): then it stops.")
    ] = None,
    live: Annotated[
        str | None, typer.Option(metavar="TO", help="Say events as they happen (file or descriptor).")
    ] = None,
    keepalive: Annotated[
        str | None,
        typer.Option(metavar="60,15,4", help="IDLE,INTERVAL,COUNT: keepalive on each TCP connection, as it is made."),
    ] = None,
    tls_keys: Annotated[bool, typer.Option("--tls-keys", help=TLS_KEYS)] = False,
    no_seccomp: Annotated[
        bool, typer.Option("--no-seccomp", help="Put no filter into the job: stops at every call, much slower.")
    ] = False,
    one_cpu: Annotated[bool, typer.Option("--one-cpu", help=ONE_CPU)] = False,
    tracer: TracerName = None,
    string_limit: StringLimit = 4096,
) -> None:
    """See HELP."""
    from systrace.commands.capture.job import Options, run_job

    options = Options(
        command=command,
        save=save,
        report=report,
        style=style,
        quiet=quiet,
        verdict_status=verdict_status,
        timeout=timeout,
        max_size=max_size,
        live=live,
        keepalive=keepalive,
        seccomp=not no_seccomp,
        tracer=tracer,
        string_limit=string_limit,
        tls_keys=tls_keys,
        one_cpu=one_cpu,
    )
    raise typer.Exit(_status(options, run_job(options)))


def _status(options: Options, ended: tuple[int, bool]) -> int:
    status, failed = ended
    return int(failed) if options.verdict_status else status
