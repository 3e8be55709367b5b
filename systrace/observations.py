"""What was learned outside the trace: by a probe, from the other side's log, from a cloud's rules.

An observation confirms, refutes, or chooses among the causes that lines of the trace suggest; it never makes a finding by
itself. In a recording it is a line `# systrace: {"observation": {...}}`, so whoever learns something appends it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from systrace.dataclass import dataclass
from systrace.errors import UsageError

KINDS = {
    "server-answered": "the server's log has this request and what became of it",
    "server-saw-nothing": "the server's log has no line of this request",
    "path-limit": "something on the path forgets a silent connection within these seconds",
    "path-open": "a connection to this port was made, or nothing in a cloud's rules forbids it",
    "path-blocked": "connections to this port die, and where, or by which rule",
    "peer-listens": "this port accepts, refuses, or does not answer",
    "hop": "who answers on the way to this port",
    "mtu": "how large packets may be on the way",
    "certificate": "what certificate this port shows",
    "name": "what a nameserver says of a name",
}
_HEAD = b"# systrace: "
_TEXT = 300
_LARGEST = 1 << 63


@dataclass(frozen=True, slots=True)
class Observation:
    """One fact from elsewhere."""

    kind: str  # see KINDS
    subject: str  # host:port, a name; of the server's log the uid of a socket
    value: dict[str, Any] = field(default_factory=dict)
    source: str = ""  # for people: "access.log line 3 (nginx)", "systrace check"
    when_ns: int | None = None  # Unix time
    where: str = ""  # the host that it was seen from

    @property
    def line(self) -> bytes:
        """As it stands in a recording."""
        return _HEAD + json.dumps({"observation": asdict(self)}).encode() + b"\n"

    @staticmethod
    def of(values: object) -> Observation | None:
        """From plain data that anybody may have written; None where it is none."""
        if not isinstance(values, dict):
            return None
        kind, subject, value = values.get("kind"), values.get("subject"), values.get("value", {})
        when = values.get("when_ns")
        if (
            not isinstance(kind, str)
            or kind not in KINDS
            or not isinstance(subject, str)
            or not isinstance(value, dict)
        ):
            return None
        if not _is_plain(value) or not isinstance(value.get("request_line"), int | None):
            return None
        source, where = (str(values.get(name, ""))[:_TEXT] for name in ("source", "where"))
        known = when if type(when) is int and _is_plain(when) else None
        return Observation(kind, subject[:_TEXT], value, source, known, where)


def _is_plain(value: object, depth: int = 3) -> bool:
    """Text, and numbers that can be counted with: a foreign recording may hold anything."""
    if isinstance(value, dict | list):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(each, depth - 1) for each in inner)
    if isinstance(value, int | float):
        return abs(value) < _LARGEST  # False for NaN
    return value is None or isinstance(value, str)


def read(path: Path) -> list[Observation]:
    """A file of such lines, or of JSON objects, one a line (`--context FILE`).

    Raises:
        UsageError: it can't be read, or a line is no observation.
    """
    try:
        return list(_observations(path.read_bytes().splitlines(), path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _observations(lines: Iterable[bytes], path: Path) -> Iterable[Observation]:
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(_HEAD).strip()
        if not text:
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            values = None
        found = Observation.of(values.get("observation", values) if isinstance(values, dict) else None)
        if found is None:
            raise UsageError(f"{path}: line {number} is no observation: {{'kind': ..., 'subject': ..., 'value': ...}}")
        yield found
