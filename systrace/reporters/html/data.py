"""Analysis -> what the page shows, as plain data: text is harmless and masked, sizes are bounded, what is left out is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from systrace import __version__
from systrace.idle_limits import known
from systrace.messages.transactions import Transaction, transactions
from systrace.model import Analysis, Line, Socket
from systrace.reporters.html import opened, waterfall
from systrace.reporters.html.told import Told
from systrace.reporters.layout import Layout
from systrace.reporters.views.answer import Card, about_job, answer, cards, failed_process, last_words
from systrace.reporters.views.socket_table import chosen
from systrace.reporters.words.clock import Clock
from systrace.reporters.words.outcomes import WORDS
from systrace.traffic.conversations import Conversation

_CARDS, _PROOF, _ITEMS = 60, 40, 20
_EXCHANGES = 12_000
_DETAILS = 12 << 20  # bytes of opened connections; without their conversations from a half of it on
_LEADS = {"fatal": "Also", "error": "Also"}
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_INERT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
Plain = dict[str, Any]


def as_json(value: object) -> str:
    """JSON that nothing in a page takes for markup: ASCII, in one line."""
    return _encode(value).translate(_INERT)


def page_data(analysis: Analysis, layout: Layout) -> tuple[Plain, Plain, list[str]]:
    """(what the template shows, what the script shows, a line of JSON for each connection that can be opened)."""
    told = Told(analysis.evidence)
    sockets, left_out, not_shown = waterfall.lanes_of(analysis)
    kept = analysis.evidence.conversations
    spoken = {socket.uid: kept.of(socket) for socket in sockets} if kept is not None else {}
    for conversation in spoken.values():  # all of them before any text is shown
        opened.learn(conversation, told)
    tree, processes_left = waterfall.processes(analysis, sockets, told)
    rows, exchanges_left = _exchanges(analysis, told)
    details, without = _details(analysis, sockets, spoken, told)
    notes = list(_notes(analysis, left_out, not_shown, processes_left, exchanges_left, without))
    shown = {
        **_answer(analysis, layout, told),
        "processes": tree,
        "health": _health(analysis, told),
        "left_out": notes,
        "versions": told.text(_versions(analysis)),
    }
    data = {
        "clock": _clock(analysis, layout),
        "span": told.at(analysis.evidence.source.last_ns),
        "limits": _limits(),
        "kinds": waterfall.KINDS,
        "processes": tree,
        "lanes": list(waterfall.lanes(analysis, sockets, told)),
        "exchanges": rows,
    }
    return shown, data, details


# -------------------------------------------------------------------------------------------------------------- answer


def _answer(analysis: Analysis, layout: Layout, told: Told) -> Plain:
    verdict = analysis.verdict
    sentence, more = answer(analysis)
    clock = Clock.of(analysis.evidence.source, layout.utc)
    every = [_card(card, clock, told) for card in cards(analysis, layout)[:_CARDS]]
    main = verdict.finding is not None and verdict.finding < len(analysis.findings)
    return {
        "outcome": verdict.outcome,
        "word": WORDS.get(verdict.outcome, verdict.outcome.upper()),
        "about": told.text(", ".join(about_job(analysis, layout))),
        "headline": told.text(sentence, 1000),
        "more": told.text(more, 1000),
        "card": every[0] if main else None,
        "last_words": told.text(_last_words(analysis), 1000),
        "others": every[1:] if main else every,
        "cards_left": max(0, len(analysis.findings) - _CARDS),
    }


def _last_words(analysis: Analysis) -> str:
    verdict = analysis.verdict
    if verdict.finding is not None and verdict.finding < len(analysis.findings):
        finding = analysis.findings[verdict.finding]
        if any(line.direction == "said" for line in finding.lines):
            return ""
        process = analysis.evidence.processes.get(finding.pid or -1)
        return last_words(analysis, process, " ".join(line.raw for line in finding.lines))
    return last_words(analysis, failed_process(analysis), "") if verdict.outcome in ("failed", "inconclusive") else ""


def _card(card: Card, clock: Clock, told: Told) -> Plain:
    finding = card.finding
    times = f" ({finding.count} times)" if finding.count > 1 else ""
    return {
        "lead": _LEADS.get(finding.severity, "Note"),
        "severity": finding.severity,
        "title": told.text(card.title, 1000) + times,
        "summary": told.text(finding.summary, 1000),
        "kind": told.text(card.kind, 80),
        "sure": told.text(card.sure, 20),
        "socket": finding.socket or "",
        "proof": [_proof(line, clock, told) for line in finding.lines[:_PROOF]],
        "proof_left": max(0, len(finding.lines) - _PROOF),
        "causes": [told.text(cause) for cause in card.causes[:_ITEMS]],
        "steps": [(told.text(step.command, 1000), told.text(step.why)) for step in card.steps[:_ITEMS]],
        "remedy": [told.text(change) for change in card.remedy[:_ITEMS]],
        "wrong_if": told.text(card.wrong_if, 1000),
    }


def _proof(line: Line, clock: Clock, told: Told) -> Plain:
    file = line.file if line.file.startswith("/proc/") else PurePath(line.file).name or line.file
    return {
        "at": clock.moment(line.time_ns),
        "who": told.text(line.who, 60) if line.told else "",
        "text": told.text(line.text.strip(), 600),
        "raw": told.text(line.raw.strip(), 600) if line.told else "",
        "file": told.text(file, 120),
        "line": line.line,
    }


# --------------------------------------------------------------------------------------------------------------- lists


def _clock(analysis: Analysis, layout: Layout) -> Plain:
    """How the script writes moments: as `words.clock` does."""
    clock = Clock.of(analysis.evidence.source, layout.utc)
    first = analysis.evidence.source.first_ns
    if first is None or clock.kind == "none":
        return {"kind": "none", "first": 0}
    return {"kind": clock.kind, "first": first // 1000 + clock.ahead_s() * 1_000_000}


def _limits() -> list[Plain]:
    """Silences after which somebody in the path forgets a connection without a word."""
    names: dict[float, list[str]] = {}
    for limit in known():
        if limit.unseen:
            names.setdefault(limit.idle_s, []).append(limit.product)
    return [{"s": seconds, "of": ", ".join(products[:3])} for seconds, products in sorted(names.items())]


def _exchanges(analysis: Analysis, told: Told) -> tuple[list[list[Any]], int]:
    rows = transactions(analysis.evidence)
    half = _EXCHANGES // 2
    kept = rows if len(rows) <= _EXCHANGES else [*rows[:half], *rows[-half:]]
    return [_exchange(row, told) for row in kept], len(rows) - len(kept)


def _exchange(row: Transaction, told: Told) -> list[Any]:
    """Times in microseconds, None for what the log does not show; the columns are named in tables.js."""
    who = f"{row.command}[{row.pid}]" if row.pid else row.command
    times = (row.dns_ns, row.connect_ns, row.tls_ns, row.first_byte_ns, row.transfer_ns, row.total_ns)
    return [
        told.at(row.start_ns),
        row.socket,
        told.text(who, 80),
        told.text(row.method or "", 20),
        told.text(row.url or "", 600),
        row.status or 0,
        *(None if ns is None else ns // 1000 for ns in times),
        row.request_bytes,
        row.response_bytes,
        told.text(row.content_type or "", 80),
        told.text(row.error, 80),
        row.line,
    ]


def _details(
    analysis: Analysis, sockets: Sequence[Socket], spoken: dict[str, Conversation], told: Told
) -> tuple[list[str], tuple[int, int]]:
    """(a line of JSON for each connection in order, (those without their conversation, those without their calls too))."""
    order = chosen(analysis, list(sockets))
    first = {socket.uid for socket in order}
    order += [socket for socket in sockets if socket.uid not in first]
    lines: dict[str, str] = {}
    held, silent, closed = 0, 0, 0
    for socket in order:
        speaks, opens = held < _DETAILS // 2, held < _DETAILS
        line = as_json(_detail(analysis, socket, spoken.get(socket.uid) if speaks else None, told, opens))
        held += len(line)
        silent, closed = silent + (not speaks), closed + (not opens)
        lines[socket.uid] = line
    return [lines[socket.uid] for socket in sockets], (silent, closed)


def _detail(analysis: Analysis, socket: Socket, said: Conversation | None, told: Told, opens: bool) -> Plain:
    sealed = any(each.protocol == "tls" for each in socket.messages)
    return {
        "facts": opened.facts(analysis, socket, told),
        "calls": opened.calls(socket, told) if opens else [],
        "dropped": socket.dropped_events + (0 if opens else len(socket.timeline)),
        "messages": opened.messages(socket.messages, told, sealed) if opens else [],
        "unread": socket.dropped_messages,
        "said": opened.blocks(said, told, socket.type == "dgram") if said is not None else None,
    }


# ------------------------------------------------------------------------------------------------- what the page has not


def _health(analysis: Analysis, told: Told) -> Plain:
    health = analysis.evidence.health
    return {
        "lines": health.lines,
        "records": health.records,
        "unparsed": health.unparsed,
        "samples": [told.text(each) for each in health.unparsed_samples[:_ITEMS]],
        "orphans": health.orphan_resumes,
        "clipped": health.clipped_strings,
        "foreign": health.foreign,
        "damage": [told.text(each) for each in health.damage[:_ITEMS]],
        "limits": [told.text(each) for each in health.limits[:_ITEMS]],
    }


def _notes(
    analysis: Analysis, lanes: int, sockets: int, processes: int, exchanges: int, details: tuple[int, int]
) -> Iterator[str]:
    evidence = analysis.evidence
    gone = evidence.forgotten
    activity, spoken = evidence.activity, evidence.conversations
    messages = sum(each.dropped_messages for each in evidence.sockets.values())
    forgotten = max(gone.made + gone.accepted, activity.left_out if activity is not None else 0)
    counted = (
        (forgotten, "Connections that ended well and were too many to be kept"),
        (lanes, "Connections that are not in the chart; those with findings or troubles are"),
        (sockets, "Sockets that were not used, listen, or speak to the kernel (netlink)"),
        (processes, "Processes without a connection or a bad end"),
        (exchanges, "Exchanges from the middle of the log"),
        (messages, "Decoded messages of long connections; the first, last and remarkable ones are here"),
        (details[0], "Conversations, as the page would be too large (systrace follow shows them)"),
        (details[1], "Connections without their calls, for the same reason (systrace parse --socket shows them)"),
        (
            spoken.left_out if spoken is not None else 0,
            "Conversations of connections that ended well",
        ),
    )
    yield from (f"{what}: {count}" for count, what in counted if count)


def _versions(analysis: Analysis) -> str:
    facts = analysis.evidence.source.facts
    by = facts.get("tracer") or (f"strace {facts['strace_version']}" if facts.get("strace_version") else "strace")
    kernel = f", Linux {facts['kernel']}" if facts.get("kernel") else ""
    masked = "secrets shown" if analysis.evidence.masks.shown else "secrets masked"
    return f"systrace {__version__}, recorded by {by}{kernel}; {masked}"
