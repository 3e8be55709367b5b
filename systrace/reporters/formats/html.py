"""HTML: the answer as cards, a waterfall of all connections, and each of them to be opened; one file without a network."""

from __future__ import annotations

from typing import BinaryIO

from systrace.model import Analysis, Keep
from systrace.reporters import Reporter, reporter
from systrace.reporters.layout import PAGE, Layout


@reporter
class HtmlReport(Reporter):
    """`--format html`."""

    name = "html"
    suffixes = (".html", ".htm")
    single = True
    keep = Keep(activity=True, conversations=True)

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write the page."""
        from systrace.reporters.html.page import page

        out.write(page(analysis, layout).encode("utf-8", "backslashreplace") + b"\n")
