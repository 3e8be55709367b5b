"""`systrace run -- COMMAND`: run a job as if systrace were not there, and say what went wrong with its sockets."""

from __future__ import annotations

import signal
from typing import Annotated, Any

import typer
from typer.core import TyperOption

from systrace.commands import app
from systrace.commands.options import Check, Outputs, Save, ShowSecrets, Strings, Styles, TracerName, Utc
from systrace.commands.plugged import Plugged, option
from systrace.keepalive import ADVISED

HELP = """Run COMMAND and report on its sockets when it ends.

COMMAND keeps its standard input, output and error, terminal, signals, working directory and (see --tls-keys)
environment. The report goes to standard error: one line when all is well.

The job comes first. Where it can't be recorded (disk full, no permission) or traced, it runs all the same, and one line
says what is missing; with --strict it does not run. While the job runs, a recording that is saved is called
FILE.PID.part and is plain text. An older FILE stays until the job has ended, and two runs may name the same one.

The tracer is the one that costs the command least and works here (`systrace doctor` says which, and why): eBPF as root,
which does not stop it at all; the embedded one, which stops it at sockets, processes, waits and words; strace. The first
two record neither what is read from files nor large outputs; --tracer strace records every read and write.

If systrace is killed, the command and the recording go on. If the tracer is killed, the command goes on as well; with
strace a few of its calls may fail with ENOSYS in that instant (not with --no-seccomp). An ordinary user's job is killed
with the embedded tracer where kernel.yama.ptrace_scope is 1. Children that outlive the command keep running and are not
recorded any more. A set-user-id program (sudo, ping) gets its rights under eBPF, else only with --no-seccomp as root.

A report of the moment comes when SIGUSR1 is sent to systrace (the job does not get that signal), and with --stall when
the job hangs: when no thread of it has got on, and none sleeps, computes, serves or waits within a limit of its own.

--on-failure runs a shell command when the job fails or the verdict is bad, --on-stall when it stalls: the report is its
standard input, and SYSTRACE_JOB, _STATUS, _OUTCOME, _CAUSE, _PEER, _REPORT and _RECORDING are in its environment.

Monitoring is told of the run by --metrics, --emf, --otlp and --syslog, without secrets, after the report; `systrace
alarms` prints the rules. What can't be told is said in a line.

Exit status: the command's own (128+n for signal n), 127 when there is no such command, 126 when it can't be executed,
2 for options that make no sense; see --verdict-status.
"""
TLS_KEYS = """Look into TLS: set SSLKEYLOGFILE and NODE_OPTIONS so that the job logs its session keys (Node warns of
that). They are deleted afterwards, but a recording that is saved holds them: who has it reads what was said. Never
share it."""
ONE_CPU = """Keep job and tracer on one processor: tracing then slows most jobs down much less. Not for jobs that use
several processors at once: they see one."""


class _Run(Plugged):
    """`--stall-kill` may stand alone: it means TERM, unless a signal follows. Each outlet of monitoring is an option."""

    def plugged(self) -> list[TyperOption]:
        """Those of monitoring."""
        from systrace.telemetry import OUTLETS

        return [option(name, outlet.takes, outlet.help) for name, outlet in OUTLETS.items()]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's."""
        self.look(ctx, args)
        valued = {name for each in self.get_params(ctx) if not _flag(each) for name in each.opts}
        return super().parse_args(ctx, signal_filled_in(args, valued))


def _flag(parameter: Any) -> bool:
    return bool(getattr(parameter, "is_flag", False))


def signal_filled_in(args: list[str], valued: set[str]) -> list[str]:
    """The arguments with `--stall-kill=TERM` in place of a bare one; those of the job stay as they are."""
    at = 0
    while at < len(args) and args[at].startswith("-") and args[at] != "--":
        if args[at] == "--stall-kill":
            following = args[at + 1] if at + 1 < len(args) else ""
            name = following.removeprefix("SIG")  # in capitals: `kill` and `int` may be jobs
            known = name.isdecimal() or f"SIG{name}" in signal.Signals.__members__
            return [*args[:at], f"--stall-kill={following if known else 'TERM'}", *args[at + 1 + known :]]
        at += 2 if args[at] in valued else 1
    return args


@app.command(
    cls=_Run,
    help=HELP,
    short_help="Run a job, and say what went wrong.",
    context_settings={"allow_interspersed_args": False},
)
def run(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="The job and its arguments.")],
    save: Save = None,
    save_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="Keep it there, named by job, host, start and process.")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(metavar="14,30d,2G", help="Of this job's recordings in --save-dir: number, age, size."),
    ] = None,
    save_if_bad: Annotated[
        bool, typer.Option("--save-if-bad", help="Keep it only when the job fails or the verdict is not healthy.")
    ] = False,
    outputs: Outputs = None,
    styles: Styles = None,
    check: Check = False,
    show_secrets: ShowSecrets = False,
    utc: Utc = False,
    quiet: Annotated[bool, typer.Option("--quiet-if-healthy", help="No report when all is well (for cron).")] = False,
    on_failure: Annotated[
        str | None, typer.Option(metavar="CMD", help="Shell command to run when the job fails or the verdict is bad.")
    ] = None,
    stall: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Report at once when the job has only waited in vain for so long (5m)."),
    ] = None,
    stall_kill: Annotated[
        str | None,
        typer.Option(metavar="[SIGNAL]", help="Then end it: TERM unless another is named, KILL after 10 s."),
    ] = None,
    on_stall: Annotated[
        str | None, typer.Option(metavar="CMD", help="Shell command to run when it has stalled.")
    ] = None,
    job: Annotated[str | None, typer.Option(metavar="NAME", help="Its name in files, metrics, --on-failure.")] = None,
    verdict_status: Annotated[
        bool,
        typer.Option("--verdict-status", help="Exit with 1 if errors were found, else 0, not with the job's status."),
    ] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop recording after 30s, 2h; the job goes on.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Stop recording at this size (64M, 2G); the job goes on.")
    ] = None,
    live: Annotated[
        str | None, typer.Option(metavar="TO", help="Write events as they happen to a file or descriptor.")
    ] = None,
    limits: Annotated[
        str | None, typer.Option(metavar="FILE", help="Your own idle limits (TOML): [[limit]] with product, idle_s.")
    ] = None,
    keepalive: Annotated[
        str | None,
        typer.Option(metavar=ADVISED, help="IDLE,INTERVAL,COUNT: keepalive on each TCP connection, as it is made."),
    ] = None,
    tls_keys: Annotated[bool, typer.Option("--tls-keys", help=TLS_KEYS)] = False,
    no_seccomp: Annotated[
        bool,
        typer.Option("--no-seccomp", help="Use no seccomp filter: the job stops at every call, which is much slower."),
    ] = False,
    one_cpu: Annotated[bool, typer.Option("--one-cpu", help=ONE_CPU)] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Do not start the job if it can't be traced and recorded as asked.")
    ] = False,
    tracer: TracerName = None,
    string_limit: Strings = "4096",
) -> None:
    """See HELP."""
    from systrace.capture.job import run_job
    from systrace.capture.plan import Options
    from systrace.reporters.choosing import fitting, wanted

    first, *more = asked = wanted(styles or (), outputs or ())
    fitting(asked)
    options = Options(
        command=command,
        save=save,
        save_dir=save_dir,
        keep=keep,
        save_if_bad=save_if_bad,
        report=first.output,
        style=first.style,
        more=more,
        check=check,
        show_secrets=show_secrets,
        utc=utc,
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
        limits=limits,
        job=job,
        outlets={name: value if isinstance(value, str) else "" for name, value in (context.obj or {}).items()},
        on_failure=on_failure,
        stall=stall,
        stall_kill=stall_kill,
        on_stall=on_stall,
        strict=strict,
    )
    status, failed = run_job(options)
    raise typer.Exit(int(failed) if verdict_status else status)
