"""What is kept of waits that never ended."""

from __future__ import annotations

from systrace.model import Input
from systrace.pipeline import analyze


def test_of_many_calls_without_an_end_the_latest_are_kept() -> None:
    """A log may hold millions of them, cut or hostile; what still waits at its end stands at its end."""
    lines = []
    for n in range(4300):
        flags = b"flags=CLONE_VM|CLONE_FILES|CLONE_THREAD"
        lines.append(b"7 1700000000.%06d clone(child_stack=0x7f, %s) = %d <0.000001>\n" % (n, flags, 100 + n))
        lines.append(b"%d 1700000000.%06d read(0,  <unfinished ...>\n" % (100 + n, n))
    analysis = analyze([Input("log", lines)])
    spans = analysis.evidence.processes[7].spans
    assert len(spans) == 64 + 4096
    assert spans[-1].events[0].record.lineno == 8600
