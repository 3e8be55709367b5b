"""`systrace parse LOG...`: what went wrong, from strace logs that exist already."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from systrace.commands import app, say
from systrace.commands.options import Outputs, RedactNames, ServerLogs, ShowSecrets, Styles, Utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from systrace.commands.reading.sending import Sender
    from systrace.idle_limits import Limit
    from systrace.model import Analysis
    from systrace.reporters import Reporter
    from systrace.reporters.layout import Layout
    from systrace.reporters.views.overview import Row
    from systrace.sources.logs import Recording

HELP = """Read strace logs of any version and option style, and say what went wrong, with the lines that prove it.

LOG is a file (plain, gzip, xz, zstd or bzip2), several files of one -ff recording, a directory of them, or - for
standard input. Ctrl-C ends the input of a pipe. Files that do not belong together are separate recordings: of
several, the table has one line each, and then the causes and peers, counted; --each prints the full reports.

With --recursive or --into, LOG is a folder, a file, or s3://BUCKET/PREFIX (pip install 'systrace[aws]'), also OUT is: thousands
of recordings become tables (`systrace query` asks them) and one page. A later run reads what is new, a killed one is read on.

Exit status: 0 nothing of severity error or fatal, 1 something, 2 a LOG could not be read,
or has no system call in it.
"""


@app.command(help=HELP, short_help="What went wrong, from a strace log.")
def parse(
    logs: Annotated[list[str], typer.Argument(metavar="LOG...", help="strace's output; - for standard input.")],
    styles: Styles = None,
    socket: Annotated[str | None, typer.Option(metavar="ID", help="Show one socket call by call: S4.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All findings, sockets and lines, not only the answer.")
    ] = False,
    each: Annotated[
        bool,
        typer.Option("--each", help="Of several recordings, the full reports (as with --all, --requests, --socket)."),
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The proof as strace printed it, not in words.")] = False,
    utc: Utc = False,
    requests: Annotated[bool, typer.Option("--requests", help="Add the HTTP requests to the table.")] = False,
    limits: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own idle limits (TOML): [[limit]] with product, idle_s.")
    ] = None,
    keylog: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TLS session keys (SSLKEYLOGFILE format) of the recorded program."),
    ] = None,
    context: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What systrace check has found (--save-facts).",
        ),
    ] = None,
    server_logs: ServerLogs = None,
    show_secrets: ShowSecrets = False,
    redact_names: RedactNames = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Read so many of several recordings side by side.")
    ] = 1,
    outputs: Outputs = None,
    otlp: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send spans to an OpenTelemetry collector, too (http://localhost:4318)."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="All recordings below folders, also in tar: one page of all.")
    ] = False,
    into: Annotated[
        str | None,
        typer.Option(metavar="OUT", help="Keep tables of many recordings there; later runs read what is new."),
    ] = None,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Of many recordings, the I-th of N parts (for N hosts).")
    ] = "1/1",
    path_pattern: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="What paths say: '{host}/{date}/{job}.strace*'.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="URL", help="Of many recordings: by the workers of Dask (tcp://HOST:8786).")
    ] = None,
) -> None:
    """See HELP."""
    from dataclasses import replace

    from systrace.commands.reading.analysis import analysis_of, without_calls
    from systrace.commands.reading.loop import show_found
    from systrace.commands.reading.output import output_places
    from systrace.commands.reading.side_by_side import Apart, side_by_side
    from systrace.commands.reading.survey import row_of, survey
    from systrace.idle_limits import read
    from systrace.model import Keep
    from systrace.observations import read as observed
    from systrace.reporters import REPORTERS, kept
    from systrace.reporters.choosing import fitting, wanted
    from systrace.reporters.layout import Layout
    from systrace.reporters.views.timeline import timeline
    from systrace.sources.logs import recordings
    from systrace.words import encoded, safe

    if recursive or into is not None:
        single = (
            styles,
            outputs,
            socket,
            each,
            everything,
            raw,
            requests,
            otlp,
            keylog,
            context,
            server_logs,
            show_secrets,
        )
        _at_odds(
            {"--recursive and --into make one page and tables, no reports: leave out the other options": any(single)}
        )
        raise typer.Exit(_fleet(logs, recursive, into, jobs, shard, limits, redact_names, path_pattern, scheduler))
    lone = shard != "1/1" or path_pattern is not None or scheduler is not None
    _at_odds({"--shard, --path-pattern and --scheduler are of --recursive and --into": lone})
    asked = wanted(styles or (), outputs or ())
    reporters = [REPORTERS[each.style] for each in asked]
    _at_odds(
        {
            "--socket works only with --format table": socket is not None
            and [each.style for each in asked] != ["table"],
            "--otlp and --show-secrets: what is sent is masked: choose one": otlp is not None and show_secrets,
            "--redact-names hides what --server-log and --context are matched by: choose one": redact_names
            and bool(server_logs or context),
        }
    )
    places = output_places(
        [each.output for each in asked], logs, (limits, keylog, *(context or ()), *map(Path, server_logs or ()))
    )
    send = _sender(otlp) if otlp is not None else None
    sent = [REPORTERS["otlp"]] if otlp is not None else []
    keep = kept([*reporters, *sent], Keep(calls_of=socket, secrets=show_secrets, redact_names=redact_names))
    own = read(limits, users=True) if limits is not None else _set_limits()
    facts = [each for path in context or () for each in observed(path)]
    failed = False

    def analysed(recording: Recording, bar: bool = False) -> tuple[Analysis, str | None]:
        nonlocal failed
        analysis = analysis_of(recording, keep, keylog, own, bar, facts, server_logs or ())
        failed |= any(finding.severity in ("error", "fatal") for finding in analysis.findings)
        if send is not None:
            send(analysis)
        return analysis, without_calls(recording, analysis)

    def show(recording: Recording, outs: Sequence[BinaryIO], several: bool) -> str | None:
        analysis, complaint = analysed(recording, bar=True)
        for reporter, out in zip(reporters, outs, strict=True):
            layout = replace(Layout.of(out, everything, requests or everything), raw=raw, utc=utc)
            if several and reporter.for_people:
                out.write(encoded(f"== {safe(recording.name)} ==\n\n"))
            if socket is not None:
                timeline(analysis, socket, out, layout)
            elif not (reporter.paged and out is _stdout() and _paged(reporter, analysis, layout)):
                reporter.write(analysis, out, layout)
        return complaint

    def line(recording: Recording) -> tuple[Row, bool]:
        return row_of(recording, analysed, utc), failed

    def noted(told: tuple[Row, bool]) -> Row:
        nonlocal failed
        failed |= told[1]
        return told[0]

    around = [(each.head, each.tail) for each in reporters]
    found, complaints = recordings(logs)
    fitting(asked, len(found), terminal=sys.stdout is not None and sys.stdout.isatty())
    in_full = each or everything or requests or socket is not None or [each.style for each in asked] != ["table"]
    if len(found) > 1 and not in_full:
        files = [[each.name for each in recording.inputs] for recording in found]
        whole = survey(files, complaints, places[0], map(noted, side_by_side(line, found, jobs)))
    elif len(found) > 1 and jobs > 1:
        reports = Apart(show, lambda: failed, found, jobs, [where is None for where in places])
        whole = show_found(found, complaints, places, reports, around)
        failed |= reports.failed
    else:
        whole = show_found(found, complaints, places, show, around)
    raise typer.Exit(int(failed) if whole else 2)


def _fleet(
    logs: list[str],
    recursive: bool,
    into: str | None,
    jobs: int,
    shard: str,
    limits: Path | None,
    redact_names: bool,
    path_pattern: str | None,
    scheduler: str | None,
) -> int:
    from systrace.commands.reading.fleet import read_fleet
    from systrace.fleet.course import Plan
    from systrace.fleet.finding import PathPattern, Shard
    from systrace.idle_limits import read

    if path_pattern is not None:
        PathPattern(path_pattern)
    own = read(limits, users=True) if limits is not None else _set_limits()
    plan = Plan(logs, into, recursive, jobs, Shard.parse(shard), own, redact_names, path_pattern)
    return read_fleet(plan, scheduler)


def _at_odds(conflicts: Mapping[str, bool]) -> None:
    """Options that exclude each other."""
    from systrace.errors import UsageError

    for complaint, there in conflicts.items():
        if there:
            raise UsageError(complaint)


def _sender(url: str) -> Sender:
    from systrace.commands.reading.sending import Sender

    return Sender(url)


def _stdout() -> BinaryIO | None:
    return sys.stdout.buffer if sys.stdout is not None else None


def _paged(reporter: Reporter, analysis: Analysis, layout: Layout) -> bool:
    from systrace.commands.reading.paging import paged

    held = io.BytesIO()
    reporter.write(analysis, held, layout)
    return paged(held.getvalue())


def _set_limits() -> list[Limit]:
    """Those of the settings; no log waits for them."""
    from systrace.errors import SystraceError
    from systrace.idle_limits import read
    from systrace.settings import settings

    path = settings().text("limits")
    try:
        return read(Path(path), users=True) if path is not None else []
    except SystraceError as error:
        say(error)
        return []
