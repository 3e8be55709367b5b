"""One row a recording: who, when, how it ended; also of what could not be read, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from systrace.fleet.tables import NUMBER, TEXT, TEXTS, WHOLE, Shapes, table
from systrace.model import Analysis, Socket
from systrace.words import clean

_MOST_PEERS = 200
_YEAR_10000 = 253_402_300_800  # seconds since 1970: what is beyond is no date

COLUMNS = (
    ("path", TEXT, "the file, as it was named; of an archive ARCHIVE:MEMBER"),
    ("host", TEXT, "where it was recorded: by the recording itself, else --path-pattern"),
    ("job", TEXT, "run --job, else --path-pattern, else the first process's command"),
    ("start_s", NUMBER, "when it begins, seconds since 1970 (UTC); NULL where the log has no date"),
    ("span_s", NUMBER, "from its first record to its last, seconds"),
    ("outcome", TEXT, "failed, hung, degraded, healthy, inconclusive; NULL: it could not be read"),
    ("cause", TEXT, "the verdict's cause (systrace explain CAUSE)"),
    ("peer", TEXT, "the peer that the verdict names: name:port where the log shows the name, else ip:port"),
    ("peer_address", TEXT, "the same, always ip:port, [ip6]:port or unix:/path"),
    ("headline", TEXT, "the verdict in a sentence"),
    ("severity", TEXT, "the worst of its findings: fatal, error, warning, info"),
    ("peers", TEXTS, f"the peers that it talked to, or tried to, as a client; at most {_MOST_PEERS}"),
    ("lines", WHOLE, "lines of the log"),
    ("records", WHOLE, "system calls and signals in it"),
    ("unparsed", WHOLE, "lines that were not understood"),
    ("reason", TEXT, "why it could not be read"),
    ("version", TEXT, "of systrace, when it was read"),
)
_SEVERITIES = ("fatal", "error", "warning", "info")


@table("recordings", COLUMNS)
def rows(shapes: Shapes, analysis: Analysis) -> Iterator[Mapping[str, Any]]:
    """A recording with its verdict."""
    source, verdict, health, facts = (
        shapes["source"],
        shapes["verdict"],
        shapes["health"],
        analysis.evidence.source.facts,
    )
    names = _names(analysis)
    by_path = shapes["by_path"]
    found = {finding.severity for finding in analysis.findings}
    yield {
        "host": _text(facts.get("host")) or by_path.get("host"),
        "job": _text(facts.get("job")) or by_path.get("job") or _command(analysis),
        "start_s": _start(source, facts),
        "span_s": source["span_s"],
        "outcome": verdict["outcome"],
        "cause": verdict["cause"],
        "peer": names.get(verdict["peer"], verdict["peer"]),
        "peer_address": verdict["peer"],
        "headline": verdict["headline"],
        "severity": next((each for each in _SEVERITIES if each in found), None),
        "peers": _peers(analysis),
        "lines": health["lines"],
        "records": health["records"],
        "unparsed": health["unparsed"],
    }


def label(socket: Socket) -> str | None:
    """A socket's peer as people call it: its name and port, else its address."""
    if socket.peer is None:
        return None
    return f"{socket.name}:{socket.peer.port}" if socket.name and socket.is_network else str(socket.peer)


def _names(analysis: Analysis) -> dict[str | None, str]:
    """Address -> name:port, as far as the log shows names."""
    sockets = analysis.evidence.sockets.values()
    return {str(each.peer): label(each) or "" for each in sockets if each.name and each.peer is not None}


def _peers(analysis: Analysis) -> list[str]:
    """Of the network alone, in order of appearance."""
    found: dict[str, None] = {}
    for each in analysis.evidence.sockets.values():
        if each.is_network and each.role == "client" and (name := label(each)) is not None:
            found[name] = None
    return list(found)[:_MOST_PEERS]


def _command(analysis: Analysis) -> str | None:
    first = next(iter(analysis.evidence.processes.values()), None)
    return first.command or None if first is not None else None


def _start(source: Mapping[str, Any], facts: Mapping[str, Any]) -> float | None:
    """By the log's own clock; else by the recording's first line."""
    start = source["first_time"] if source["style"]["clock"] == "epoch" else facts.get("start")
    return float(start) if isinstance(start, int | float) and 0 <= start < _YEAR_10000 else None


def _text(value: object) -> str | None:
    return clean(value, 256) if isinstance(value, str) and value else None
