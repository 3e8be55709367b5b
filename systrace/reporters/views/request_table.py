"""HTTP requests as a table, or as one JSON object a line: `systrace requests`."""

from __future__ import annotations

import json
from typing import BinaryIO

from systrace.messages.transactions import Transaction, transactions
from systrace.model import Analysis
from systrace.reporters.layout import Layout
from systrace.reporters.shapes.plain import servers_words, transaction_dicts
from systrace.words import columns, cut_middle, duration, encoded, safe, size, wrap

_URL_AT_LEAST, _URL_CUT_TO = 24, 10  # columns; beside a note, less must do
_HEADERS = ("start s", "socket", "who", "method", "status", "dns", "connect", "tls", "first", "transfer", "sent", "got")
_LEFT = (1, 2, 3)
_RARE = (5, 6, 7)  # left out where no row has them
_SPARE = (7, 5, 10, 6, 9, 1, 2, 11, 8)  # left out one after the other where the terminal is too narrow


def requests_table(analysis: Analysis, layout: Layout) -> list[str]:
    """Lines of text; URLs are cut to the width on a terminal."""
    rows = transactions(analysis.evidence)
    if not rows:
        return ["No HTTP requests in this log."]
    first = analysis.evidence.source.first_ns
    cells = [_cells(row, first) for row in rows]
    header, *table = _as_wide_as_fits(cells, layout)
    lines = [layout.paint("Requests", "bold"), layout.paint(f"{header}  type, URL", "dim")]
    for begin, row in zip(table, rows, strict=True):
        note = f"  [{safe(row.error)}]" if row.error not in ("", "clipped") else ""
        what = _what(
            row, layout.width - columns(header) - 2 - len(note) if layout.fitted and not layout.piped else None
        )
        bad = row.error not in ("", "clipped", "encrypted") or (row.status or 0) >= 400
        line = f"{begin}  {what}{note}"
        lines.append(layout.paint(line, "red") if bad else line)
    return [*lines, *_left_out(analysis, layout), *_seen_by_servers(analysis, layout)]


def _what(row: Transaction, room: int | None) -> str:
    """Type and URL; without room for both the type goes, and then the URL is cut."""
    url = safe(row.url or "(request not in the log)")
    what = f"{safe(row.content_type)} {url}" if row.content_type else url
    if room is None:
        return what
    room = max(room, _URL_CUT_TO)
    return cut_middle(what if columns(what) <= room else url, room)


def _as_wide_as_fits(cells: list[list[str]], layout: Layout) -> list[str]:
    """The columns that have something to say, as many as leave room for a URL; the header first."""
    kept = [i for i in range(len(_HEADERS)) if i not in _RARE or any(row[i] != "-" for row in cells)]
    text = _laid_out(cells, kept)
    for spare in _SPARE:
        if layout.fitted and not layout.piped and columns(text[0]) + 2 + _URL_AT_LEAST > layout.width and spare in kept:
            kept.remove(spare)
            text = _laid_out(cells, kept)
    return text


def _laid_out(cells: list[list[str]], kept: list[int]) -> list[str]:
    """Lines of equal width, the header first."""
    from tabulate import tabulate

    lines = tabulate(
        [[_HEADERS[i] for i in kept], *([row[i] for i in kept] for row in cells)],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["left" if i in _LEFT else "right" for i in kept],
    ).split("\n")
    widest = max(columns(line) for line in lines)
    return [line + " " * (widest - columns(line)) for line in lines]


def _cells(row: Transaction, first: int | None) -> list[str]:
    start = "-" if row.start_ns is None or first is None else f"{(row.start_ns - first) / 1e9:.3f}"
    who = f"{row.command}[{row.pid}]" if row.pid else row.command or "-"
    times = (row.dns_ns, row.connect_ns, row.tls_ns, row.first_byte_ns, row.transfer_ns)
    sizes = ["-" if count is None else size(count) for count in (row.request_bytes, row.response_bytes)]
    status = str(row.status) if row.status else "-"
    return [start, row.socket, safe(who), safe(row.method or "-", 12), status, *map(duration, times), *sizes]


def _seen_by_servers(analysis: Analysis, layout: Layout) -> list[str]:
    """What the servers' own logs say, by the line of the request."""
    told = sorted(servers_words(analysis.evidence).items(), key=lambda each: each[0][1] or 0)
    lines = [line for (_uid, at), text in told for line in wrap(f"line {at}: {safe(text)}", layout.width, "  ", "    ")]
    return ["The servers' logs", *lines] if lines else []


def _left_out(analysis: Analysis, layout: Layout) -> list[str]:
    dropped = sum(s.dropped_messages for s in analysis.evidence.sockets.values() if s.app_protocol in ("http", "http2"))
    if not dropped:
        return []
    text = f"{dropped} messages of long connections are not kept: a connection's first and last ones are, and errors."
    return wrap(text, layout.width)


def write_requests(analysis: Analysis, out: BinaryIO, style: str, heading: str = "") -> None:
    """Write the requests of one recording: `table`, below a heading if there is one, or `json`."""
    if style == "json":
        for each in transaction_dicts(analysis.evidence):
            out.write(json.dumps(each, ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
    else:
        lines = [f"== {safe(heading)} ==", ""] if heading else []
        lines += requests_table(analysis, Layout.of(out))
        out.write(encoded("\n".join(lines) + "\n"))
    out.flush()
