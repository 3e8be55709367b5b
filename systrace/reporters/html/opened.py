"""A connection that somebody opens: its facts, its calls, and what was said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from systrace.masking.fields import secret_spans, united
from systrace.messages.http import HttpMessage
from systrace.model import Analysis, DescriptorsPassed, Event, Keepalive, Message, Socket, Transfer
from systrace.reporters.html.told import Told
from systrace.reporters.html.waterfall import peer_of
from systrace.reporters.views.follow import is_text
from systrace.reporters.views.timeline import detail, result
from systrace.reporters.words.endings import connecting, ending, errno_words, silence_ns, user
from systrace.traffic.conversations import Conversation, Said
from systrace.words import duration, safe, size

_DETAIL = 160  # columns
_MESSAGES = 60  # of one connection, one half first, one half last
_BEFORE = 600  # bytes after a gap in which the rest of a secret may stand whose beginning is not kept
_SILENCE_NS = 1_000_000_000
_BODY = 2048  # bytes of a decrypted message
Note = dict[str, str]  # `note`: what is not there; `quiet`: a silence
Line = str | Note
Piece = bytes | Note


def facts(analysis: Analysis, socket: Socket, told: Told) -> list[tuple[str, str]]:
    """What is known of it, in words."""
    ends = (
        f"{socket.local} -> {socket.peer}" if socket.local and socket.peer else str(socket.peer or socket.local or "")
    )
    kind = " ".join(word for word in (socket.family, socket.type, socket.role, socket.app_protocol or "") if word)
    rows = [
        ("peer", peer_of(socket, told)),
        ("addresses", ends),
        ("kind", kind),
        ("used by", user(socket, analysis.evidence)),
        ("opened", "before the trace began" if socket.inherited else ""),
        ("connect", connecting(socket) if socket.attempts else ""),
        ("bytes", f"{size(socket.sent.original_len)} out, {size(socket.received.original_len)} in"),
        ("requests", str(socket.turns) if socket.turns else ""),
        ("longest silence", duration(silence_ns(socket) or None)),
        ("keepalive", _keepalive(socket.keepalive) if socket.is_network else ""),
        ("options", _options(socket)),
        ("errors", "; ".join(_fault_words(socket))),
        ("how it ended", ending(socket)),
    ]
    if socket.alike:
        rows.append(("alike", f"{socket.alike} more that failed just so are not kept"))
    rows += [(finding.cause, finding.summary) for finding in analysis.findings if finding.socket == socket.uid]
    return [(name, told.text(text)) for name, text in rows if text not in ("", "-")]


def _keepalive(keepalive: Keepalive) -> str:
    if not keepalive.on:
        return "off" if keepalive.on is False else "not set in this log"
    timers = (("idle", keepalive.idle_s), ("interval", keepalive.interval_s))
    words = [f"{name} {seconds} s" for name, seconds in timers if seconds is not None]
    return ", ".join(["on", *words, *([f"{keepalive.count} probes"] if keepalive.count is not None else [])])


def _options(socket: Socket) -> str:
    limits = (
        ("SO_RCVTIMEO", socket.rcvtimeo_ns),
        ("SO_SNDTIMEO", socket.sndtimeo_ns),
        ("TCP_USER_TIMEOUT", socket.user_timeout_ns),
    )
    words = [f"{name} {duration(ns)}" for name, ns in limits if ns]
    return ", ".join([*(["non-blocking"] if socket.nonblock else []), *words])


def _fault_words(socket: Socket) -> Iterator[str]:
    for fault in socket.faults[:8]:
        what = "end of data" if fault.kind == "eof" else errno_words(fault.errno)
        yield f"{what} (line {fault.event.record.lineno})"


def calls(socket: Socket, told: Told) -> list[list[Any]]:
    """Time, thread, call, result, time taken (microseconds), what it was about, line. Bytes are in the conversation:
    a single call may hold a part of a secret."""
    return [_call(event, told) for event in socket.timeline]


def _call(event: Event, told: Told) -> list[Any]:
    record = event.record
    if isinstance(event, DescriptorsPassed):
        about = f"passes descriptors {', '.join(map(str, event.fds[:8]))}"
    else:
        about = "" if isinstance(event, Transfer) else told.text(detail(event, _DETAIL, told.masks), _DETAIL)
    took = None if record.duration_ns is None else record.duration_ns // 1000
    name, outcome = told.text(record.syscall, 20), told.text(result(event), 40)
    return [told.at(record.time_ns), record.tid, name, outcome, took, about, record.lineno]


# -------------------------------------------------------------------------------------------------------- conversation


class Heard:
    """A conversation whose secrets are learnt, each direction as one: a secret may span calls."""

    def __init__(self, conversation: Conversation, told: Told) -> None:
        self.conversation = conversation
        self._masks = told.masks
        said = [*conversation.first, *conversation.last]
        self._data = tuple(b"".join([each.known for each in said if each.sent is sent]) for sent in (False, True))
        self._own = tuple([] if told.masks.shown else secret_spans(data) for data in self._data)
        for data, spans in zip(self._data, self._own, strict=True):
            for start, end in spans:
                told.masks.note(data[start:end])

    def masked(self) -> Callable[[Said, int], bytes]:
        """What one call after the other moved, without its first bytes; to be asked when all conversations are heard."""
        masks = self._masks
        known = [[] if masks.shown or not masks.any_known else masks.known(data) for data in self._data]
        spans = [united([*own, *more]) for own, more in zip(self._own, known, strict=True)]
        places = [0, 0]

        def part(each: Said, skipped: int) -> bytes:
            start = places[each.sent]
            places[each.sent] += len(each.known)
            return masks.part(self._data[each.sent], spans[each.sent], start + skipped, places[each.sent])

        return part


def blocks(heard: Heard, told: Told, datagrams: bool) -> list[dict[str, Any]]:
    """What went in one direction until the other side spoke; in `text`, notes say what is missing."""
    conversation, shown = heard.conversation, heard.masked()
    out = _blocks(conversation.first, shown, told, 0, datagrams)
    if conversation.calls:
        note = f"{conversation.sent} bytes sent and {conversation.received} received in {conversation.calls} calls"
        out.append({"text": [{"note": f"{note} are left out here: systrace follow shows them"}]})
    return out + _blocks(conversation.last, shown, told, _BEFORE if conversation.calls else 0, datagrams)


def _blocks(
    said: Sequence[Said], shown: Callable[[Said, int], bytes], told: Told, skip: int, datagrams: bool
) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    before: int | None = None
    for _key, run in groupby(enumerate(said), key=lambda pair: (pair[1].sent, pair[0] if datagrams else 0)):
        group = [each for _, each in run]
        pieces: list[Piece] = []
        for each in group:
            quiet = each.start_ns - before if before is not None and each.start_ns is not None else 0
            before = each.end_ns
            if quiet >= _SILENCE_NS:
                pieces.append({"quiet": f"nothing for {duration(quiet)}"})
            skipped = _skipped(each.known, skip)
            skip -= skipped if skipped == len(each.known) else skip
            pieces += _pieces(each, shown(each, skipped), skipped)
        skip = 0
        total = sum(len(each.known) + each.missing + each.left_out for each in group)
        times = "" if len(group) == 1 else f" in {len(group)} calls"
        title = f"{'sent' if group[0].sent else 'received'} {total} bytes{times}, line {group[0].line}"
        first = {"sent": group[0].sent, "at": told.at(group[0].start_ns), "title": title}
        out.append({**first, "text": list(_text(pieces))})
    return out


def _skipped(known: bytes, skip: int) -> int:
    """How much of it is not shown: up to the end of the line that was begun in what is left out."""
    end = known.find(b"\n", 0, skip) + 1 if skip > 0 else 0
    return end or min(max(skip, 0), len(known))


def _pieces(each: Said, known: bytes, skipped: int) -> Iterator[Piece]:
    if skipped:
        yield {"note": f"{skipped} bytes are not shown: what they go on with is left out"}
    if known:
        yield known
    if each.missing:
        yield {"note": f"{each.missing} bytes are not known: the log has no more of them (strace -s)"}
    if each.left_out:
        yield {"note": f"{each.left_out} bytes are left out of this page: systrace follow shows them"}


def _text(pieces: Sequence[Piece]) -> Iterator[Line]:
    for is_note, run in groupby(pieces, key=lambda piece: isinstance(piece, dict)):
        if is_note:
            yield from (piece for piece in run if isinstance(piece, dict))
            continue
        data = b"".join([piece for piece in run if isinstance(piece, bytes)])
        if not is_text(data):
            yield {"note": f"{len(data)} bytes, no text"}
            continue
        for line in data.removesuffix(b"\n").split(b"\n"):
            yield safe(line.removesuffix(b"\r").replace(b"\t", b"    "))


# ------------------------------------------------------------------------------------------------------------ messages


def messages(found: Sequence[Message], told: Told, sealed: bool) -> list[dict[str, Any]]:
    """What the decoders made of it; with their text where the bytes themselves are encrypted."""
    half = _MESSAGES // 2
    shown = found if len(found) <= _MESSAGES else [*found[:half], *found[-half:]]
    return [_message(each, told, sealed) for each in shown]


def _message(message: Message, told: Told, sealed: bool) -> dict[str, Any]:
    line = message.events[0].record.lineno if message.events else None
    row: dict[str, Any] = {
        "at": told.at(message.start_ns),
        "sent": message.direction == "sent",
        "protocol": told.text(message.protocol, 20),
        "summary": told.text(message.summary),
        "whole": message.complete,
        "line": line,
    }
    if sealed and isinstance(message, HttpMessage):
        body = message.body.decoded().data[:_BODY] if message.body is not None else b""
        row["text"] = list(_text([told.masks.data(message.head[:_BODY] + body)]))
    return row
