"""Two runs compared, for people: the most telling differences in a few lines, all of them as a table, or as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from systrace.compare.nouns import BAD, GOOD, Comparison, Difference, Place, Run
from systrace.reporters.formats.markdown import plain
from systrace.reporters.layout import Layout
from systrace.reporters.words.outcomes import WORDS
from systrace.words import columns, cut, cut_middle, safe, wrap

SAME = "no difference that matters"
_TOP = 4  # differences under the heading: with it, five lines
_KINDS = {
    "cause": "fault",
    "outcome": "result",
    "only-good": f"only {GOOD}",
    "only-bad": f"only {BAD}",
    "count": "number",
}
_WIDEST = 48  # columns of a cell, where nothing is fitted


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
    for hidden in told.unseen if layout.everything or not told.differences else told.unseen[:1]:
        lines += wrap(f"not compared: {hidden}", layout.width, "", "  ")
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
    cells = [_cells(each) for each in told.differences]
    widest = max(12, (layout.width - 40) // 3) if layout.fitted else _WIDEST
    rows = [[cut_middle(cell, widest) if 1 <= at <= 3 else cell for at, cell in enumerate(row)] for row in cells]
    text = tabulate(
        rows,
        headers=["what", "step", GOOD, BAD, "times", f"line {GOOD}", f"line {BAD}"],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["left"] * 4 + ["right"] * 3,
    ).split("\n")
    fitted = [cut(line.rstrip(), layout.width) if layout.fitted else line.rstrip() for line in text]
    assert columns(fitted[0])
    return ["", layout.paint(fitted[0], "dim"), *fitted[1:], ""]


def _cells(each: Difference) -> list[str]:
    times = f"{each.count} of {each.of}" if each.of > 1 else ""
    return [
        _KINDS.get(each.kind, each.kind),
        safe(each.step),
        safe(each.good) or "-",
        safe(each.bad) or "-",
        times,
        _line(each.good_place),
        _line(each.bad_place),
    ]


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
        yield from ("", *_markdown_table([["what", "step", GOOD, BAD, "times", f"line {GOOD}", f"line {BAD}"]]))
        yield "| --- " * 7 + "|"
        yield from _markdown_table([_cells(each) for each in told.differences])
    elif more > 0:
        yield from ("", f"and {more} more")
    if told.unseen:
        yield from ("", "Not compared:", "", *(f"- {plain(each)}" for each in told.unseen))


def _markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in rows]
