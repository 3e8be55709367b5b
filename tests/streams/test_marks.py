"""What is kept of waits that never ended."""

from __future__ import annotations

from systrace.model import Input
from systrace.pipeline import analyze


def test_of_many_calls_without_an_end_the_latest_are_kept() -> None:
    """A log may hold millions of them, cut or hostile; what still waits at its end stands at its end."""
    lines = [b"7 1700000000.%06d read(0,  <unfinished ...>\n" % n for n in range(6000)]
    analysis = analyze([Input("log", lines)])
    spans = analysis.evidence.processes[7].spans
    assert len(spans) == 64 + 4096
    assert spans[-1].events[0].record.lineno == 6000
