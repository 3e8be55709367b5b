"""Many recordings on one page: a line for each, then how often each cause and each peer was the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from systrace.dataclass import dataclass
from systrace.model import Analysis
from systrace.reporters.layout import Layout
from systrace.reporters.words.clock import Clock
from systrace.reporters.words.outcomes import COLOURS, WORDS
from systrace.words import ascii_only, columns, cut, cut_middle, duration, safe, wrap

NOT_READ = "NOT READ"
_MOST = 10  # causes, and peers, that are counted one by one
_BETWEEN = 2  # columns between columns


@dataclass(frozen=True, slots=True)
class Row:
    """What is left of a recording once it was looked at. Its text is as the trace had it, not yet safe."""

    file: str
    outcome: str = ""  # none where it could not be read
    cause: str = "-"
    peer: str = "-"  # by its name, where that is known
    address: str = ""
    job: str = "-"
    start: str = "-"
    zone: str = ""
    took: str = "-"
    reason: str = ""  # why it could not be read


@dataclass(frozen=True, slots=True)
class _Column:
    name: str  # field of Row, and header
    least: int = 0  # may be cut to this; 0: never cut
    most: int = 60  # where nothing needs to fit
    middle: bool = False  # its end matters: a port, a file's name


_VERDICT = _Column("verdict")
_FILE = _Column("file", 12, 80, middle=True)
# The most important first: what does not fit goes from the end.
_COLUMNS = (
    _VERDICT,
    _Column("cause"),
    _Column("peer", 18, middle=True),
    _Column("job", 8, middle=True),
    _Column("start"),
    _Column("took"),
)
_LAST_LEFT = 2  # verdict and cause stay, whatever the width
_TELLING = {"job", "start"}  # with both, a row is told from the others as a rule


def row(name: str, analysis: Analysis, utc: bool = False) -> Row:
    """The line of one recording."""
    verdict, source = analysis.verdict, analysis.evidence.source
    first = next(iter(analysis.evidence.processes.values()), None)
    start, zone = Clock.of(source, utc).start()
    span = None if source.first_ns is None or source.last_ns is None else source.last_ns - source.first_ns
    address = verdict.peer or ""
    return Row(
        file=name,
        outcome=verdict.outcome,
        cause="-" if verdict.cause == verdict.outcome else verdict.cause,
        peer=_named(analysis, address) or address or "-",
        address=address,
        job=(first.command if first is not None else "") or "-",
        start=start,
        zone=zone,
        took=duration(span),
    )


def unread(name: str, reason: str) -> Row:
    """The line of what could not be read."""
    return Row(file=name, reason=reason)


def _named(analysis: Analysis, address: str) -> str:
    """The peer's name and port, where the log shows a name."""
    for socket in analysis.evidence.sockets.values():
        if socket.name and socket.peer is not None and str(socket.peer) == address:
            return socket.name if socket.peer.port is None else f"{socket.name}:{socket.peer.port}"
    return ""


def overview(rows: Sequence[Row], layout: Layout) -> list[str]:
    """Lines of text: the rows in their order, then the counts."""
    return [*_table(rows, layout), "", *_counts(rows, layout), "", *_next(layout)]


def _table(rows: Sequence[Row], layout: Layout) -> list[str]:
    read = [each for each in rows if each.outcome]
    files = _short([each.file for each in read])
    cells = [_cells(each, file) for each, file in zip(read, files, strict=True)]
    chosen, widths = _fitting(cells, layout)
    zones = {each.zone for each in read if each.start != "-"}
    header = {column.name: column.name for column in _COLUMNS} | {"file": "file"}
    if len(zones) == 1 and (zone := _shown(zones.pop())):
        header["start"] = cut(f"start {zone}", dict(zip(chosen, widths, strict=True)).get(_COLUMNS[4], 0))
    lines = [layout.paint(_line(header, chosen, widths), "dim")]
    readable = iter(cells)
    for each in rows:
        if not each.outcome:
            line = f"{NOT_READ:<{widths[0]}}  {_shown(each.reason)}"
            lines.append(layout.paint(_whole_in_a_pipe(line, layout), "yellow"))
            continue
        cell = next(readable)
        line, word = _line(cell, chosen, widths), cell["verdict"].rstrip()
        lines.append(layout.paint(word, COLOURS.get(each.outcome, "bold")) + line[len(word) :])
    return lines


def _cells(each: Row, file: str) -> dict[str, str]:
    texts = {"cause": each.cause, "peer": each.peer, "job": each.job, "start": each.start, "took": each.took}
    cells = {name: _shown(text) for name, text in (texts | {"file": file}).items()}
    return cells | {"verdict": f"{WORDS.get(each.outcome, each.outcome.upper()):<{len(NOT_READ)}}"}


def _shown(text: str) -> str:
    """Safe text in the characters that will be written, so that its width is known before."""
    text = safe(text)
    return text.encode("ascii", "backslashreplace").decode() if ascii_only() else text


def _short(names: Sequence[str]) -> list[str]:
    """The names without what all of them begin with, and without a last part that is the same for all."""
    parts = [("standard input",) if name == "-" else tuple(name.split("/")) for name in names]
    while len(parts) > 1 and all(len(each) > 1 for each in parts) and len({each[0] for each in parts}) == 1:
        parts = [each[1:] for each in parts]
    if len(parts) > 1 and all(len(each) > 1 for each in parts) and len({each[-1] for each in parts}) == 1:
        parts = [each[:-1] for each in parts]
    return ["/".join(each) for each in parts]


def _fitting(cells: Sequence[dict[str, str]], layout: Layout) -> tuple[list[_Column], list[int]]:
    """The columns that fit, and their widths; the file's name where the others do not tell the rows apart, or for nothing."""
    for count in range(len(_COLUMNS), _LAST_LEFT - 1, -1):
        chosen = list(_COLUMNS[:count])
        apart = {tuple(cell[column.name] for column in chosen if column.name in _TELLING) for cell in cells}
        if len(apart) < len(cells):
            chosen.append(_FILE)
        if not layout.fitted or _wide(_widths(cells, chosen, least=True)) <= layout.width:
            break
    natural = _widths(cells, [*chosen, _FILE])
    if _FILE not in chosen and (not layout.fitted or _wide(natural) <= layout.width):
        chosen.append(_FILE)
    return chosen, _shrunk(cells, chosen, layout)


def _wide(widths: Sequence[int]) -> int:
    return sum(widths) + _BETWEEN * (len(widths) - 1)


def _widths(cells: Sequence[dict[str, str]], chosen: Sequence[_Column], least: bool = False) -> list[int]:
    widths = []
    for column in chosen:
        natural = max(len(column.name), *(columns(cell[column.name]) for cell in cells), 0)
        widths.append(min(natural, (column.least or natural) if least else column.most))
    return widths


def _shrunk(cells: Sequence[dict[str, str]], chosen: Sequence[_Column], layout: Layout) -> list[int]:
    """Natural widths; on a terminal the column with most to spare is cut until all fit, then the widest."""
    widths, least = _widths(cells, chosen), _widths(cells, chosen, least=True)
    while layout.fitted and _wide(widths) > layout.width:
        spare = [width - low for width, low in zip(widths, least, strict=True)]
        weights = spare if max(spare) > 0 else widths
        widths[weights.index(max(weights))] -= 1
    return widths


def _line(cell: dict[str, str], chosen: Sequence[_Column], widths: Sequence[int]) -> str:
    pieces = []
    for column, width in zip(chosen, widths, strict=True):
        text = cell[column.name]
        text = cut_middle(text, width) if column.middle else cut(text, width)
        room = " " * (width - columns(text))
        pieces.append(room + text if column.name == "took" else text + room)
    return (" " * _BETWEEN).join(pieces).rstrip()


def _counts(rows: Sequence[Row], layout: Layout) -> list[str]:
    outcomes = Counter(each.outcome for each in rows)
    words = [f"{outcomes[outcome]} {word}" for outcome, word in WORDS.items() if outcomes[outcome]]
    words += [f"{outcomes['']} {NOT_READ}"] if outcomes[""] else []
    lines = wrap(f"{len(rows)} recordings: {', '.join(words)}.", layout.width, "", "  ")
    lines += _counted("By cause", (each.cause for each in rows if each.cause != "-"), layout)
    lines += _counted("By peer", (_with_address(each) for each in rows if each.address), layout)
    return lines


def _with_address(each: Row) -> str:
    """`api.example:443 (203.0.113.10)`: of several machines behind one name, it may be one."""
    return each.peer if each.peer == each.address else f"{each.peer} ({each.address.rpartition(':')[0]})"


def _counted(title: str, each: Iterable[str], layout: Layout) -> Iterator[str]:
    counts = Counter(each).most_common()
    if not counts:
        return
    yield layout.paint(title, "bold")
    for text, count in counts[:_MOST]:
        line = f"{count:>4}  {_shown(text)}"
        yield _whole_in_a_pipe(line, layout)
    if len(counts) > _MOST:
        yield f"      and {len(counts) - _MOST} more"


def _next(layout: Layout) -> list[str]:
    return wrap("One full report: systrace parse FILE. All of them: --each.", layout.width, "", "  ")


def _whole_in_a_pipe(line: str, layout: Layout) -> str:
    return cut(line, layout.width) if layout.fitted and not layout.piped else line
