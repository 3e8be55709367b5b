"""`systrace explain [CAUSE]`: what a verdict means, what proves it, what it is easily mistaken for; what words mean."""

from __future__ import annotations

from typing import Annotated

import typer

from systrace.commands import app, completing
from systrace.commands.options import table_or_json

HELP = """Explain CAUSE, one of the causes that reports name: what it is, what proves it, what to do.

Without CAUSE: all of them, one line each. "systrace explain terms" explains the other words of reports (HUNG, peer,
keepalive), "systrace explain peer" one of them.

Exit status: 0, or 2 when there is no such cause or word.
"""
_ALL_TERMS = "terms"
_WIDEST = 100  # columns; longer lines are hard to read


@app.command(help=HELP, short_help="What a cause means, what proves it, what to do.")
def explain(
    cause: Annotated[
        str | None,
        typer.Argument(
            metavar="[CAUSE]", help="As in a report: read-timeout; or terms.", autocompletion=completing.causes
        ),
    ] = None,
    style: Annotated[
        str, typer.Option("--format", metavar="NAME", help="table, or json: one as an object, all as an array.")
    ] = "table",
) -> None:
    """See HELP."""
    import shutil
    from dataclasses import asdict

    from systrace.rules.pages import pages

    as_json = table_or_json(style) == "json"
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    known = pages()
    if cause is None and as_json:
        _print_json([asdict(page) for page in known.values()])
        return
    if cause is None:
        column = max(map(len, known)) + 2
        for name, page in known.items():
            typer.echo(_wrapped(page.summary, width, f"{name:<{column}}", " " * column))
        typer.echo("\nWhat the other words of a report mean: systrace explain terms")
        return
    found = known.get(cause.strip().lower())
    if found is None:
        _explain_words(cause, as_json, width, list(known))
        return
    if as_json:
        _print_json(asdict(found))
        return
    typer.echo(_wrapped(found.summary, width, f"{found.cause}: "))
    for heading, text in found.sections.items():
        typer.echo(f"\n{heading}\n{_wrapped(text, width, '  ', '  ')}")


def _explain_words(word: str, as_json: bool, width: int, causes: list[str]) -> None:
    """The glossary, or its entry of one word.

    Raises:
        UsageError: there is neither a cause nor a word of that name.
    """
    from systrace.reporters.words.glossary import GLOSSARY, TERMS, meaning

    if word.strip().lower() == _ALL_TERMS:
        if as_json:
            _print_json([{"term": term, "meaning": text} for term, text in TERMS.items()])
            return
        chapters = (
            f"{title}\n" + "\n".join(_wrapped(text, width, f"  {term}: ", "    ") for term, text in words.items())
            for title, words in GLOSSARY.items()
        )
        typer.echo("\n\n".join(chapters))
        return
    found = meaning(word)
    if found is None:
        raise _unknown(word, [*causes, _ALL_TERMS, *TERMS])
    if as_json:
        _print_json({"term": found[0], "meaning": found[1]})
    else:
        typer.echo(_wrapped(found[1], width, f"{found[0]}: ", "  "))


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=2))


def _wrapped(text: str, width: int, first: str = "", rest: str = "") -> str:
    import textwrap

    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _unknown(cause: str, known: list[str]) -> Exception:
    from difflib import get_close_matches

    from systrace.errors import UsageError

    near = get_close_matches(cause.lower(), known, 1)
    hint = f"did you mean {near[0]}?" if near else "`systrace explain` lists them, `systrace explain terms` the words"
    return UsageError(f"there is no cause {cause!r}: {hint}")
