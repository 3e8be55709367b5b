"""Analysis -> what the page shows, as plain data: text is harmless and masked, sizes are bounded, what is left out is told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
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
from systrace.reporters.views.course import course_rows
from systrace.reporters.views.socket_table import chosen
from systrace.reporters.words.clock import Clock
from systrace.reporters.words.outcomes import WORDS

_CARDS = 40
_MAIN, _OTHER = (40, 20), (12, 8)  # lines and items of the verdict's own card, and of each other
_EXCHANGES, _EXCHANGE_BYTES = 12_000, 2_500_000
_LANE_BYTES = 5_000_000
_DETAIL_BYTES = 12_000_000
_SPEAKS, _CALLS, _FACTS = 0.6, 0.85, 0.97  # of the room for details, up to which one has a conversation, calls, facts
_LEADS = {"fatal": "Also", "error": "Also"}
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
Plain = dict[str, Any]


def as_json(value: object) -> str:
    """JSON that nothing in a page takes for markup: ASCII, in one line."""
    return _encode(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _object(fields: Mapping[str, str]) -> str:
    """Of values that are JSON already."""
    return "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"


def _within(rows: Iterable[Any], room: int) -> list[str]:
    """As JSON, as many as fit."""
    out: list[str] = []
    for row in rows:
        out.append(as_json(row))
        room -= len(out[-1])
        if room < 0:
            del out[-1]
            break
    return out


class PageData:
    """What the page shows of an analysis: for the template, for the script, and for who opens a connection."""

    def __init__(self, analysis: Analysis, layout: Layout) -> None:
        self._analysis = analysis
        self._told = told = Told(analysis.evidence)
        ranked, unused = waterfall.ranked(analysis)
        kept = analysis.evidence.conversations
        heard = ((each.uid, opened.Heard(kept.of(each), told)) for each in ranked) if kept is not None else ()
        self._heard = dict(heard)  # all of them before any text is shown
        lanes = _within(waterfall.lanes(analysis, ranked, told), _LANE_BYTES)
        order = {uid: at for at, uid in enumerate(analysis.evidence.sockets)}
        self._shown = sorted(zip(ranked, lanes, strict=False), key=lambda pair: order[pair[0].uid])
        self._tree, tree_left = waterfall.processes(analysis, ranked[: len(lanes)], told)
        exchanges, exchanges_left = _exchanges(analysis, told)
        self._notes = list(_notes(analysis, len(ranked) - len(lanes), unused, tree_left, exchanges_left))
        self._answer = _answer(analysis, layout, told)
        tree = [{name: value for name, value in each.items() if name != "argv"} for each in self._tree]
        self.script = _object(
            {
                "clock": as_json(_clock(analysis, layout)),
                "span": as_json(told.at(analysis.evidence.source.last_ns)),
                "limits": as_json(_limits()),
                "kinds": as_json(waterfall.KINDS),
                "verdict": as_json((self._answer["card"] or {}).get("socket", "")),
                "processes": as_json(tree),
                "lanes": f"[{','.join(lane for _, lane in self._shown)}]",
                "exchanges": f"[{','.join(exchanges)}]",
            }
        )

    def template(self) -> Plain:
        """What people read without the script."""
        return {
            **self._answer,
            "processes": self._tree,
            "health": _health(self._analysis, self._told),
            "left_out": self._notes,
            "versions": self._told.text(_versions(self._analysis)),
        }

    def details(self, room: int) -> str:
        """A line of JSON for each lane, in a last one how many have no room; connections that matter come first."""
        room = min(room, _DETAIL_BYTES)
        sockets = [socket for socket, _ in self._shown]
        first = {socket.uid: socket for socket in chosen(self._analysis, sockets)}
        lines: dict[str, str] = {}
        held, left = 0, [0, 0, 0]
        for uid, socket in {**first, **{each.uid: each for each in sockets}}.items():
            has = [held < share * room for share in (_SPEAKS, _CALLS, _FACTS)]
            lines[uid] = as_json(self._detail(socket, *has[:2])) if has[2] else "null"
            held += len(lines[uid]) + 1
            left = [count + (not there) for count, there in zip(left, has, strict=True)]
        return "\n".join([*(lines[socket.uid] for socket in sockets), as_json(left)])

    def _detail(self, socket: Socket, speaks: bool, opens: bool) -> Plain:
        told, heard = self._told, self._heard.get(socket.uid) if speaks else None
        sealed = any(each.protocol == "tls" for each in socket.messages)
        return {
            "facts": opened.facts(self._analysis, socket, told),
            "calls": opened.calls(socket, told) if opens else [],
            "dropped": socket.dropped_events + (0 if opens else len(socket.timeline)),
            "messages": opened.messages(socket.messages, told, sealed) if opens else [],
            "unread": socket.dropped_messages,
            "said": opened.blocks(heard, told, socket.type == "dgram") if heard is not None else None,
        }


# -------------------------------------------------------------------------------------------------------------- answer


def _answer(analysis: Analysis, layout: Layout, told: Told) -> Plain:
    verdict = analysis.verdict
    sentence, more = answer(analysis)
    clock = Clock.of(analysis.evidence.source, layout.utc)
    main = verdict.finding is not None and verdict.finding < len(analysis.findings)
    found = cards(analysis, layout)[:_CARDS]
    every = [_card(card, clock, told, at == 0 and main) for at, card in enumerate(found)]
    return {
        "outcome": verdict.outcome,
        "word": WORDS.get(verdict.outcome, verdict.outcome.upper()),
        "about": told.text(", ".join(about_job(analysis, layout))),
        "headline": told.text(sentence, 1000),
        "more": told.text(more, 1000),
        "card": every[0] | {"course": _course(analysis, layout, told)} if main else None,
        "last_words": told.text(_last_words(analysis), 1000),
        "others": every[1:] if main else every,
        "cards_left": max(0, len(analysis.findings) - _CARDS),
    }


def _course(analysis: Analysis, layout: Layout, told: Told) -> list[Plain]:
    return [
        {"at": moment, "what": told.text(text, 1000), "place": told.text(place)}
        for moment, text, place in course_rows(analysis, layout.utc)
    ]


def _last_words(analysis: Analysis) -> str:
    verdict = analysis.verdict
    if verdict.finding is not None and verdict.finding < len(analysis.findings):
        finding = analysis.findings[verdict.finding]
        if any(line.direction == "said" for line in finding.lines):
            return ""
        process = analysis.evidence.processes.get(finding.pid or -1)
        return last_words(analysis, process, " ".join(line.raw for line in finding.lines))
    return last_words(analysis, failed_process(analysis), "") if verdict.outcome in ("failed", "inconclusive") else ""


def _card(card: Card, clock: Clock, told: Told, main: bool) -> Plain:
    finding = card.finding
    lines, items = _MAIN if main else _OTHER
    times = f" ({finding.count} times)" if finding.count > 1 else ""
    return {
        "lead": _LEADS.get(finding.severity, "Note"),
        "severity": finding.severity,
        "title": told.text(card.title, 1000) + times,
        "summary": told.text(finding.summary, 1000),
        "kind": told.text(card.kind, 80),
        "sure": told.text(card.sure, 20),
        "socket": finding.socket or "",
        "proof": [_proof(line, clock, told) for line in finding.lines[:lines]],
        "proof_left": max(0, len(finding.lines) - lines),
        "causes": [told.text(cause) for cause in card.causes[:items]],
        "steps": [(told.text(step.command, 1000), told.text(step.why)) for step in card.steps[:items]],
        "remedy": [told.text(change) for change in card.remedy[:items]],
        "wrong_if": told.text(card.wrong_if, 1000),
        "course": [],
    }


def _proof(line: Line, clock: Clock, told: Told) -> Plain:
    file = line.file if line.file.startswith("/proc/") else PurePath(line.file).name or line.file
    return {
        "at": clock.moment(line.time_ns),
        "who": told.text(line.who, 60) if line.told else "",
        "text": told.text(line.text.strip(), 600),
        "raw": told.text(line.raw.strip(), 300) if line.told else "",
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


def _exchanges(analysis: Analysis, told: Told) -> tuple[list[str], int]:
    """(as JSON, how many from the middle are left out)."""
    rows = transactions(analysis.evidence)
    half = (min(len(rows), _EXCHANGES) + 1) // 2
    first = _within((_exchange(row, told) for row in rows[:half]), _EXCHANGE_BYTES // 2)
    rest = rows[max(half, len(rows) - _EXCHANGES // 2) :]
    last = _within((_exchange(row, told) for row in reversed(rest)), _EXCHANGE_BYTES // 2)
    return [*first, *reversed(last)], len(rows) - len(first) - len(last)


def _exchange(row: Transaction, told: Told) -> list[Any]:
    """Times in microseconds, None for what the log does not show; the columns are named in tables.js."""
    who = f"{row.command}[{row.pid}]" if row.pid else row.command
    times = (row.dns_ns, row.connect_ns, row.tls_ns, row.first_byte_ns, row.transfer_ns, row.total_ns)
    return [
        told.at(row.start_ns),
        row.socket,
        told.text(who, 80),
        told.text(row.method or "", 20),
        told.text(row.url or "", 300),
        row.status or 0,
        *(None if ns is None else ns // 1000 for ns in times),
        row.request_bytes,
        row.response_bytes,
        told.text(row.content_type or "", 80),
        told.text(row.error, 80),
        row.line,
    ]


# ------------------------------------------------------------------------------------------------- what the page has not


def _health(analysis: Analysis, told: Told) -> Plain:
    health = analysis.evidence.health
    return {
        "lines": health.lines,
        "records": health.records,
        "unparsed": health.unparsed,
        "samples": [told.text(each) for each in health.unparsed_samples[: _MAIN[1]]],
        "orphans": health.orphan_resumes,
        "clipped": health.clipped_strings,
        "foreign": health.foreign,
        "damage": [told.text(each) for each in health.damage[: _MAIN[1]]],
        "limits": [told.text(each) for each in health.limits[: _MAIN[1]]],
    }


def _notes(analysis: Analysis, lanes: int, sockets: int, processes: int, exchanges: int) -> Iterator[str]:
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
