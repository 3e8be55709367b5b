"""The page: one file that needs no network, and in which nothing runs but its own script (Content-Security-Policy)."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from systrace.model import Analysis
from systrace.reporters.html.data import PageData
from systrace.reporters.layout import Layout

_NOTHING_ELSE = "default-src 'none'; base-uri 'none'; form-action 'none'"
MOST = 19_000_000  # bytes
_DETAILS = '<script type="application/json" id="details">'
_HERE = Path(__file__).parent
_SCRIPTS = "words scale rows draw hands opened tables start".split()  # in this order, in one scope


def page(analysis: Analysis, layout: Layout) -> str:
    """The whole file."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((_HERE / "report.html").read_text("utf-8"))
    data = PageData(analysis, layout)
    style, script = _own()
    text = template.render(
        **data.template(),
        policy=f"{_NOTHING_ELSE}; script-src '{_sum(script)}'; style-src '{_sum(style)}'",
        style=style,
        script=script,
        data=data.script,
    )
    before, here, after = text.rpartition(_DETAILS)  # of a trace's text nothing looks like that: it is escaped
    return f"{before}{here}{data.details(MOST - len(text.encode('utf-8', 'backslashreplace')))}{after}"


@cache
def _own() -> tuple[str, str]:
    """(style, script)."""
    parts = [(_HERE / f"{name}.js").read_text("utf-8") for name in _SCRIPTS]
    return (_HERE / "report.css").read_text("utf-8"), '(() => {\n"use strict";\n' + "".join(parts) + "})();\n"


def _sum(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
