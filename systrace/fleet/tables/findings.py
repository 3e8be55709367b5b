"""One row a finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from systrace.fleet.tables import NUMBER, TEXT, TEXTS, WHOLE, WHOLES, Shapes, table
from systrace.model import Analysis

COLUMNS = (
    ("number", WHOLE, "from 0, in the order of the report"),
    ("cause", TEXT, "systrace explain CAUSE"),
    ("variant", TEXT, "of the cause"),
    ("severity", TEXT, "fatal, error, warning, info"),
    ("confidence", TEXT, "confirmed, likely, possible"),
    ("socket", TEXT, "sockets.id in the same recording"),
    ("peer", TEXT, "ip:port, [ip6]:port, unix:/path"),
    ("pid", WHOLE, "the process"),
    ("command", TEXT, "the process's command"),
    ("time_s", NUMBER, "when, seconds since the recording's start_s"),
    ("duration_s", NUMBER, "how long, seconds"),
    ("summary", TEXT, "in a sentence"),
    ("evidence_file", TEXT, "the file of its first line of proof"),
    ("evidence_lines", WHOLES, "the numbers of the lines that prove it"),
    ("evidence", TEXTS, "what these lines say"),
    ("causes", TEXTS, "likely reasons, in order"),
    ("next_steps", TEXTS, "commands that settle it"),
    ("remedy", TEXTS, "what to change"),
    ("refuted_by", TEXT, "what would show that it is wrong"),
    ("count", WHOLE, "how many sockets show the same"),
)


@table("findings", COLUMNS)
def rows(shapes: Shapes, _analysis: Analysis) -> Iterator[Mapping[str, Any]]:
    """What a rule found, with the lines that prove it."""
    for number, each in enumerate(shapes["findings"]):
        row = {"number": number, **each}
        lines = row.pop("evidence")
        yield row | {
            "evidence_file": lines[0]["file"] if lines else None,
            "evidence_lines": [line["line"] for line in lines],
            "evidence": [line["text"] for line in lines],
        }
