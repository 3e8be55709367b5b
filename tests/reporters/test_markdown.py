"""`--format markdown`, read back by a CommonMark parser."""

from __future__ import annotations

import io
import re

import pytest
from markdown_it import MarkdownIt

from systrace.model import Input
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS
from systrace.reporters.formats.markdown import plain
from systrace.rules import RULES
from systrace.rules.pages import full_trace

HOSTILE = [
    "<script>alert(1)</script>", "![x](http://evil.example/x.png)", "[x](javascript:alert(1))", "`code`", "**bold**",
    "https://evil.example/", "<https://evil.example>", "@team #1", "| a | b |", "~~no~~", "a&lt;b", "# title", "- item",
    "1. item", "> quote", "***", "a\nb\n\n# c", "\x1b[2J\u202e",
]  # fmt: skip


def report(trace: str) -> str:
    out = io.BytesIO()
    REPORTERS["markdown"].write(analyze([Input("job.strace", trace.encode().splitlines(keepends=True))]), out)
    return out.getvalue().decode()


@pytest.mark.parametrize("cause", list(RULES))
def test_a_ticket_fits_on_a_page(cause: str) -> None:
    text = report(full_trace(RULES[cause].fires))
    assert len(text.splitlines()) <= 60
    tokens = MarkdownIt("commonmark").parse(text)
    assert tokens[0].tag == "h2"
    assert {token.type for token in tokens if token.type.startswith("html")} == set()
    assert [token.info for token in tokens if token.type == "fence"][:1] in (["text"], ["sh"], [])


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("before", ["", "- ", "**"])
def test_nothing_of_a_trace_is_markup(text: str, before: str) -> None:
    """What a reader sees is the text, whatever is in it; GitHub's tables, strikethrough and links included."""
    parser = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    line = f"{before}{plain(text)}" + before.replace("-", "").rstrip()
    inline = [token for token in parser.parse(f"x {line}" if not before else line) if token.type == "inline"]
    assert len(inline) == 1
    kinds = {child.type for child in inline[0].children or ()} - {"text", "strong_open", "strong_close"}
    assert kinds <= {"text_special"}
    assert "\x1b" not in line
    assert not re.search(r"(?<!\\)://", line)


def test_a_fence_is_longer_than_any_in_it() -> None:
    trace = full_trace(RULES["html-instead-of-json"].fires).replace("<html", "````<html")
    tokens = MarkdownIt("commonmark").parse(report(trace))
    assert {token.type for token in tokens if token.type.startswith("html")} == set()
