"""The sockets of a recording as a table: those that matter first, the others as a count."""

from __future__ import annotations

from systrace.dataclass import dataclass
from systrace.model import Analysis, Evidence, Socket
from systrace.reporters.layout import Layout
from systrace.reporters.words.endings import connecting, ending, is_remarkable, silence_ns, user
from systrace.words import columns, cut, cut_middle, duration, safe, size, wrap

_MOST = 12  # sockets shown without --all
_MOST_REMARKABLE = 30
_END = 12  # of "how it ended" at least
_BETWEEN = 2  # columns between columns
_SEVERITIES = ("fatal", "error", "warning", "info")


@dataclass(frozen=True, slots=True)
class _Column:
    header: str
    least: int = 0  # may be cut down to this width on a terminal; 0: never cut
    middle: bool = False  # its end matters: a port, a number
    right: bool = False


_COLUMNS = (
    _Column("id"),
    _Column("peer", 21, middle=True),
    _Column("name", 8, middle=True),
    _Column("who", 13, middle=True),
    _Column("connect", right=True),
    _Column("out", right=True),
    _Column("in", right=True),
    _Column("silence", right=True),
    _Column("how it ended"),
)
_SPARE = (2, 4, 7, 5, 6, 3)  # left out one after the other where the terminal is too narrow; never peer and end


def socket_table(analysis: Analysis, layout: Layout) -> list[str]:
    """Lines of text, none without sockets."""
    everything = [s for s in analysis.evidence.sockets.values() if s.kind == "socket"]
    shown = everything if layout.everything else chosen(analysis, everything)
    if not everything:
        return []
    rest = _left_out(everything, shown)
    if not shown:
        return wrap(rest, layout.width)
    title = layout.paint("Sockets", "bold") + (f" ({rest})" if rest else "")
    return [title, *_laid_out([_cells(socket, analysis.evidence) for socket in shown], layout)]


def _left_out(everything: list[Socket], shown: list[Socket]) -> str:
    """How many are not in the table, and whether something is to be seen in them."""
    hidden = len(everything) - len(shown)
    if not hidden:
        return ""
    what = "socket" if hidden == 1 else "sockets"
    more = any(s.is_network and is_remarkable(s) for s in everything if s not in shown)
    if shown:
        return f"{hidden} more: --all" if more else f"{hidden} unremarkable: --all"
    return f"{hidden} {what}, {'more' if more else 'without anything remarkable'}: --all"


def chosen(analysis: Analysis, sockets: list[Socket]) -> list[Socket]:
    """Sockets with findings, then remarkable ones, then network connections up to the bound."""
    weights: dict[str, int] = {}
    for finding in analysis.findings:
        if finding.socket is not None:
            weight = _SEVERITIES.index(finding.severity) if finding.severity in _SEVERITIES else 3
            weights[finding.socket] = min(weight, weights.get(finding.socket, 9))
    answer = analysis.verdict.finding
    if answer is not None and answer < len(analysis.findings):
        weights[analysis.findings[answer].socket or ""] = -1

    def key(socket: Socket) -> tuple[int, bool]:
        heavy = weights.get(socket.uid, 4 if socket.is_network and is_remarkable(socket) else 5)
        return heavy, not socket.is_network

    ranked = sorted(sockets, key=key)
    remarkable = [s for s in ranked if key(s)[0] < 5]
    others = [s for s in ranked if key(s)[0] == 5 and s.is_network and not _is_dns(s) and _is_used(s)]
    return remarkable[:_MOST_REMARKABLE] + others[: max(0, _MOST - len(remarkable))]


def _is_used(socket: Socket) -> bool:
    """Libraries open sockets only to ask whether the kernel knows a family, and close them again."""
    known = socket.peer is not None or socket.local is not None or bool(socket.attempts)
    return known or socket.sent.calls + socket.received.calls > 0


def _is_dns(socket: Socket) -> bool:
    return socket.app_protocol == "dns" or (socket.peer is not None and socket.peer.port == 53)


def _cells(socket: Socket, evidence: Evidence) -> list[str]:
    peer = socket.peer or socket.local
    return [
        socket.uid,
        safe(str(peer)) if peer is not None else f"({safe(socket.family)})",
        safe(socket.name or ""),
        safe(user(socket, evidence)),
        connecting(socket),
        size(socket.sent.original_len),
        size(socket.received.original_len),
        duration(silence_ns(socket) or None),
        safe(ending(socket)),
    ]


def _laid_out(rows: list[list[str]], layout: Layout) -> list[str]:
    from tabulate import tabulate

    kept = [i for i, _ in enumerate(_COLUMNS) if any(row[i] for row in rows)]
    widths = _widths(rows, kept, layout)
    for spare in _SPARE:
        if layout.fitted and sum(widths) + _BETWEEN * len(kept) > layout.width and spare in kept:
            kept.remove(spare)
            widths = _widths(rows, kept, layout)
    over = sum(widths) + _BETWEEN * len(kept) - layout.width
    if layout.fitted and over > 0:
        widths[-1] = max(_END, widths[-1] - over)  # how each ended is what this is read for: cut when all else is
    cells = [[_fit(row[i], width, _COLUMNS[i].middle) for i, width in zip(kept, widths, strict=True)] for row in rows]
    text = tabulate(
        [[_COLUMNS[i].header for i in kept], *cells],  # as a row: tabulate makes columns wider for its own headers
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if _COLUMNS[i].right else "left" for i in kept],
    )
    header, *body = text.split("\n")
    return [layout.paint(f"  {header}".rstrip(), "dim"), *(f"  {line}".rstrip() for line in body)]


def _widths(rows: list[list[str]], kept: list[int], layout: Layout) -> list[int]:
    """Natural widths; on a terminal the widest columns that may shrink do so until the row fits."""
    widths = [max(columns(_COLUMNS[i].header), *(columns(row[i]) for row in rows)) for i in kept]
    while layout.fitted and sum(widths) + _BETWEEN * len(kept) > layout.width:
        spare = [width - (_COLUMNS[i].least or width) for i, width in zip(kept, widths, strict=True)]
        widest = max(range(len(widths)), key=lambda at: spare[at])
        if spare[widest] <= 0:
            break
        widths[widest] -= 1
    return widths


def _fit(text: str, width: int, middle: bool) -> str:
    return cut_middle(text, width) if middle else cut(text, width)
