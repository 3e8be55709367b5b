"""Two runs compared, for people: the most telling differences in a few lines, all of them as a table, or as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from systrace.compare.nouns import BAD, GOOD, Comparison, Difference, Place, Run
from systrace.reporters.formats.markdown import plain
from systrace.reporters.layout import Layout
from systrace.reporters.words.outcomes import WORDS
from systrace.words import cut, cut_middle, safe, wrap

SAME = "no difference that matters"
_TOP = 4  # differences under the heading: with it, five lines
_KINDS = {
    "cause": "fault",
    "outcome": "result",
    "only-good": f"only {GOOD}",
    "only-bad": f"only {BAD}",
    "count": "number",
}
_WIDEST, _BESIDE = 500, 14  # columns of a cell that is not cut; of each of the others, about


def comparison_lines(told: Comparison, layout: Layout) -> list[str]:
    """The answer; with `layout.everything` the table below it."""
    lines = wrap(_heading(told), layout.width, "", "  ")
    word, colon, rest = lines[0].partition(":")
    lines[0] = f"{layout.paint(word + colon, 'red' if told.differences else 'green')}{rest}"
    for at, each in enumerate(told.differences[:_TOP]):
        text = _sentence(told, at, each)
        new = wrap(text, layout.width, "", "  ")
        lines += [layout.paint(line, "bold") for line in new] if at == 0 else new
    more = len(told.differences) - _TOP
    if layout.everything:
        lines += _table(told, layout)
    elif more > 0:
        lines.append(f"{more} more difference{'s' if more > 1 else ''}: --all")
    if layout.everything:
        lines += [line for hidden in told.unseen for line in wrap(f"not compared: {hidden}", layout.width, "", "  ")]
    elif told.unseen:
        lines.append("not all could be compared: --all says what the logs do not show")
    return lines


def _heading(told: Comparison) -> str:
    same = f"{told.alike} steps are alike" if told.alike != 1 else "1 step is alike"
    job = f"{safe(told.bad.job, 60)} " if told.bad.job else ""
    ends = f"{job}{_word(told.bad)} in {BAD}, {_word(told.good)} in {GOOD}"
    if told.bad.outcome == told.good.outcome:
        ends = f"{job}{_word(told.bad)} in both"
    return f"{'DIFFERENT' if told.differences else SAME}: {ends}; {same}"


def _word(run: Run) -> str:
    return WORDS.get(run.outcome, run.outcome)


def _files(told: Comparison) -> str:
    return "; ".join(f"{name}: {_file(run)}" for name, run in ((GOOD, told.good), (BAD, told.bad)))


def _file(run: Run) -> str:
    more = f" and {len(run.files) - 1} more" if len(run.files) > 1 else ""
    return f"{run.files[0]}{more}" if run.files else "?"


def _sentence(told: Comparison, at: int, each: Difference) -> str:
    lead = "They part here: " if at == told.parted and each.kind != "cause" else ""
    who = f"{each.who}: " if each.who and each.kind != "cause" and each.who not in each.text else ""
    places = _places(each)
    return f"{at + 1}. {lead}{who}{each.text}{f' ({places})' if places else ''}"


def _places(each: Difference) -> str:
    """`BAD line 12, GOOD line 14`."""
    sides = ((BAD, each.bad_place), (GOOD, each.good_place))
    return ", ".join(f"{name} line {place.line}" for name, place in sides if place is not None and place.line)


def _table(told: Comparison, layout: Layout) -> list[str]:
    from tabulate import tabulate

    if not told.differences:
        return []
    headers, cells = _cells(told)
    if layout.fitted:
        room = layout.width - _BESIDE * (len(headers) - 3)
        widths = {1: max(16, room // 2), 2: max(8, room // 4), 3: max(8, room // 4)}
        cells = [[cut_middle(cell, widths.get(at, _WIDEST)) for at, cell in enumerate(row)] for row in cells]
    text = tabulate(cells, headers=headers, tablefmt="plain", disable_numparse=True).split("\n")
    lines = [cut(line.rstrip(), layout.width) if layout.fitted else line.rstrip() for line in text]
    return ["", layout.paint(lines[0], "dim"), *lines[1:]]


def _cells(told: Comparison) -> tuple[list[str], list[list[str]]]:
    """(headers, rows); how often stands there where anything was more than once."""
    several = any(each.of > 1 for each in told.differences)
    headers = ["what", "step", GOOD, BAD, "lines", *(["times"] if several else [])]
    rows = []
    for each in told.differences:
        row = [_KINDS.get(each.kind, each.kind), safe(each.step), safe(each.good) or "-", safe(each.bad) or "-"]
        row.append(f"{_line(each.good_place)}, {_line(each.bad_place)}")
        rows.append([*row, *([f"{each.count} of {each.of}" if each.of > 1 else ""] if several else [])])
    return headers, rows


def _line(place: Place | None) -> str:
    return str(place.line) if place is not None and place.line else "-"


def comparison_markdown(told: Comparison, everything: bool) -> list[str]:
    """For a ticket; with `everything` the table, too."""
    return list(_markdown(told, everything))


def _markdown(told: Comparison, everything: bool) -> Iterator[str]:
    yield f"## {plain(_heading(told))}"
    yield ""
    yield plain(_files(told))
    if told.differences:
        yield ""
    for at, each in enumerate(told.differences[:_TOP]):
        text = plain(_sentence(told, at, each).partition(". ")[2])
        yield f"{at + 1}. {f'**{text}**' if at == 0 else text}"
    more = len(told.differences) - _TOP
    if everything and told.differences:
        headers, rows = _cells(told)
        yield from ("", _markdown_row(headers), "|" + " --- |" * len(headers), *map(_markdown_row, rows))
    elif more > 0:
        yield from ("", f"and {more} more")
    if told.unseen:
        yield from ("", "Not compared:", "", *(f"- {plain(each)}" for each in told.unseen))


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(plain(cell) for cell in cells) + " |"
