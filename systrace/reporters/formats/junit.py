"""JUnit XML, for CI: a recording is a test case, and errors in it are a failure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import BinaryIO
from xml.sax.saxutils import escape, quoteattr

from systrace.model import Analysis
from systrace.reporters import Reporter, reporter
from systrace.reporters.formats.table import render
from systrace.reporters.layout import PAGE, Layout
from systrace.reporters.views.answer import job_of
from systrace.words import safe

_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


@reporter
class JunitReport(Reporter):
    """`--format junit`."""

    name = "junit"
    suffixes = (".xml",)
    head = b'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n'
    tail = b"</testsuites>\n"

    def write(self, analysis: Analysis, out: BinaryIO, layout: Layout = PAGE) -> None:
        """Write a suite of one test case; the failure's text is the table."""
        source, verdict = analysis.evidence.source, analysis.verdict
        took = (source.last_ns - source.first_ns) / 1e9 if source.first_ns is not None and source.last_ns else 0.0
        failed = any(finding.severity in ("error", "fatal") for finding in analysis.findings)
        skipped = not failed and verdict.outcome == "inconclusive"
        name, file = job_of(analysis) or "job", source.files[0] if source.files else ""
        report = _clean(render(analysis, replace(layout, colour=False)))
        inside = f"<system-out>{report}</system-out>"
        if failed:
            inside = f"<failure message={_quoted(verdict.headline)} type={_quoted(verdict.cause)}>{report}</failure>"
        elif skipped:
            inside = f"<skipped message={_quoted(verdict.headline)}/>{inside}"
        counts = f'tests="1" failures="{int(failed)}" errors="0" skipped="{int(skipped)}" time="{took:.3f}"'
        out.write(
            f"<testsuite name={_quoted(file)} {counts}>\n"
            f'<testcase name={_quoted(name)} classname="systrace" time="{took:.3f}">{inside}</testcase>\n'
            "</testsuite>\n".encode()
        )


def _clean(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))


def _quoted(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", safe(text)))
