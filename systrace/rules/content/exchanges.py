"""Protocols other than HTTP: the last word of a server, messages that were cut, bytes that no decoder understood."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from systrace.messages.framing import LAYOUTS, SANE, Layout
from systrace.messages.mismatch import USUAL_PORTS, Mismatch
from systrace.messages.replies import FtpReply, Reply, Request, ServerError, Unit
from systrace.model import Draft, Endpoint, Event, Message, Received, Socket, Step
from systrace.rules.case.farewells import work_on
from systrace.rules.case.index import Case
from systrace.rules.content.accusing import accusation, effect
from systrace.rules.content.answers import ended_at, last_received, received_bytes, receiver
from systrace.rules.content.said import TRANSPORT_WORDS
from systrace.rules.content.victims import PROMPT_NS, Victim, is_last_word, stopped, victim, waiting

_COUNT = re.compile(rb'"(?:\.\.\.)?, (?:\w+=)?(\d{1,9})(?:[,)]|\Z)')
SHORT_WORDS = (
    r"(?i)\bEOF|end of file|short|incomplete|premature|unexpected(?:ly)?|expected \d+|got \d+|bytes"
    r"|closed|lost connection|truncat"
)
_ALIKE = ("ftp", "smtp")  # servers of both send codes, and begin
_SCHEME = re.compile(r"\b(ftp|smtp)s?://")
_BYE = ("221", "QUIT", "BYE", "goodbye")


def victim_of(case: Case, socket: Socket, message: Message) -> Victim | None:
    """Who failed after receiving a message, or was ended while it waited for what could not come any more."""
    process = receiver(case, socket, message)
    return victim(case, process, ended_at(case, message)) or (
        stopped(case, process) or waiting(case, process, socket) if isinstance(message, Mismatch) else None
    )


def soon_after(case: Case, socket: Socket, who: Victim, at: int) -> bool:
    """It was the last thing that the receiver met, and the failure came at once."""
    return who.ended_within(case, PROMPT_NS, at) and is_last_word(case, who.receiver, at, socket)


def cut_units(case: Case, cause: str) -> Iterator[Draft]:
    """Messages whose end is missing: of a known protocol (truncated-response), of unknown frames (framing-error)."""
    for socket in case.clients:
        for message in socket.messages[-3:]:
            if not isinstance(message, Unit) or message.direction != "received" or not message.truncated:
                continue
            if message.incomplete_reason == "reset" or isinstance(message, Request):
                continue
            if (message.protocol == "length-prefixed") != (cause == "framing-error"):
                continue
            who = victim_of(case, socket, message)
            if who is None:
                continue
            end = case.end_of_file(socket)
            finding = accusation(
                case,
                cause,
                socket,
                [*message.events, *([end.event] if end else [])],
                who,
                who.said.fitting(SHORT_WORDS),
            )
            size = message.summary
            if message.declared_length:
                size = f"{message.received_length} of {message.declared_length} bytes"
            finding.confidence = "confirmed"
            finding.variant = "unfulfilled" if cause == "framing-error" else message.protocol
            finding.summary = (
                f"{case.name_of(who.receiver)}: {case.label(socket)} closed the connection in the middle of its answer "
                f"({message.protocol}: {size}); {effect(case, who, SHORT_WORDS)}."
            )
            _advice(finding, socket)
            yield finding


def _advice(finding: Draft, socket: Socket) -> None:
    finding.causes = [
        "the server or its worker crashed or was stopped while it was sending",
        "a proxy in the path ended the connection",
    ]
    finding.next_steps = [
        Step(why="the server's log at that second"),
        Step(f"systrace follow LOG --socket {socket.uid}"),
    ]
    finding.remedy = ["compare lengths before use; repeat the request on a new connection"]
    finding.refuted_by = "the rest of the message in a packet capture"


def last_error(case: Case, socket: Socket) -> tuple[ServerError, Victim, bool] | None:
    """(the refusal that a failing process met last on a socket, who failed, whether its words agree)."""
    replies = [m for m in socket.messages if isinstance(m, Reply) and m.direction == "received"]
    for index, reply in reversed(list(enumerate(replies))):
        if not isinstance(reply, ServerError):
            continue
        who = victim_of(case, socket, reply)
        if who is None:
            return None
        agree = bool(reply.text) and quotes(who, reply.text, reply.code)
        later = [r for r in replies[index + 1 :] if r.code not in _BYE and not isinstance(r, ServerError)]
        went_on = any(_counts(reply, r) for r in later)
        if agree or (not went_on and soon_after(case, socket, who, ended_at(case, reply))):
            return reply, who, agree
    return None


def spoken(case: Case, socket: Socket, reply: Reply) -> str:
    """The protocol of a reply. A 421 in place of a greeting is FTP's as well as SMTP's (RFC 959 4.2, RFC 5321 4.2): the port
    tells, or the URL on the command line; else nobody knows, and it is "".
    """
    asked = [m for m in socket.messages if isinstance(m, Request) and m.verb not in _BYE]
    if reply.protocol not in _ALIKE or reply.code != "421" or asked or re.match(r"4\.\d+\.\d", reply.text):
        return reply.protocol
    port, process = socket.peer.port if socket.peer is not None else 0, case.process(socket)
    scheme = _SCHEME.search(" ".join(process.argv)) if process is not None else None
    return next((name for name in _ALIKE if port in USUAL_PORTS[name]), scheme[1] if scheme is not None else "")


def _counts(refused: Reply, later: Reply) -> bool:
    """A later reply shows that the client went on with its work, and did more than clean up."""
    if refused.code[:1] in "45" and later.request is not None:
        return later.request.verb not in ("QUIT", "RSET", "LOGOUT", "NOOP", "ABOR", "CLOSE")
    return later.protocol in ("redis", "memcached") and later.request is not None


def quotes(who: Victim, text: str, code: str = "") -> bool:
    """The failing program repeats the server's words or code."""
    said = " ".join(who.said.text.split()).lower()
    for piece in re.split(r"[\n\r.;:!\"']+", text.lower()):
        piece = " ".join(piece.split())
        if len(piece) >= 8 and piece[:40] in said:
            return True
    return len(code) >= 3 and re.search(rf"(?<!\w){re.escape(code.lower())}(?!\w)", said) is not None


def cut_downloads(case: Case) -> Iterator[Draft]:
    """FTP: the data connection ended before the size that the control connection had named."""
    for control, reply, peer, size in _announced(case):
        data = next((s for s in case.clients if s.peer == peer and s.received.calls), None)
        end = case.end_of_file(data) if data is not None else None
        if data is None or end is None or data.received.original_len >= size:
            continue
        who = victim(case, case.process(data), case.ended(end.event))
        if who is None:
            continue
        events = [*reply.events, end.event]
        finding = accusation(case, "truncated-response", data, events, who, who.said.fitting(SHORT_WORDS))
        finding.variant, finding.confidence = "ftp", "confirmed"
        finding.summary = (
            f"{case.name_of(who.receiver)}: the FTP server {case.label(control)} announced {size} bytes, and its data "
            f"connection {data.peer} ended after {data.received.original_len}; {effect(case, who, SHORT_WORDS)}."
        )
        _advice(finding, data)
        yield finding


def _announced(case: Case) -> Iterator[tuple[Socket, FtpReply, Endpoint, int]]:
    """(control connection, reply, address of the data connection, size in bytes) of FTP's downloads."""
    for control in case.clients:
        address: Endpoint | None = None
        for reply in control.messages:
            if not isinstance(reply, FtpReply) or reply.direction != "received":
                continue
            address = reply.data or address
            found = re.search(r"\((\d+) bytes?\)", reply.text) if reply.code in ("150", "125") else None
            if found is not None and address is not None:
                yield control, reply, address, int(found[1])


def told(case: Case, cause: str) -> Iterator[Draft]:
    """The program itself says that records are missing (and the peer had ended the connection), or are of the wrong
    shape, in a protocol that no decoder knows, right after the last bytes of it.
    """
    for socket, who, _ in opaque_sockets(case):
        last = last_received(socket)
        if last is None or not re.search(_COUNT_WORDS, who.said.line()) or who.said.has(TRANSPORT_WORDS):
            continue
        end = case.end_of_file(socket)
        if (end is not None) != (cause == "truncated-response") or socket.app_protocol or case.first_error(socket):
            continue
        if not soon_after(case, socket, who, case.ended(last)):
            continue
        events = [*first_and_last(socket), *([end.event] if end else [])]
        finding = accusation(case, cause, socket, events, who, _COUNT_WORDS)
        finding.variant, finding.confidence = "records", "possible"
        finding.summary = (
            f"{case.name_of(who.receiver)} received {socket.received.original_len} bytes of an unknown protocol from "
            f"{case.label(socket)}" + (", then the peer's end" if end else "") + f"; {effect(case, who, _COUNT_WORDS)}."
        )
        _advice(finding, socket)
        yield finding


_COUNT_WORDS = (
    r"(?i)expected \d+|got \d+|only \d+|\d+ of \d+|incomplete|truncated|\b(?:record|row|line|column|field|checksum)s?\b"
)


# -------------------------------------------------------------------------------------------- what nobody decoded


def opaque_sockets(case: Case) -> Iterator[tuple[Socket, Victim, bytes]]:
    """(socket, who failed, bytes received) of connections that no decoder understood for sure."""
    for socket in case.clients:
        if not socket.is_network or socket.type == "dgram" or not socket.received.original_len:
            continue
        if socket.app_protocol not in (None, "", "length-prefixed") and _understood(socket):
            continue
        last = next((e for e in reversed(work_on(socket)) if isinstance(e, Received)), None) or last_received(socket)
        if last is None:
            continue
        pid = case.evidence.owners.get(last.record.tid)
        process = case.owner_of(pid) or case.process(socket)
        who = victim(case, process, case.ended(last))
        if who is not None:
            yield socket, who, received_bytes(socket)[0]


def _understood(socket: Socket) -> bool:
    """The decoder that was chosen has read whole messages of both sides, or a refusal: it was the right one."""
    whole = {m.direction for m in socket.messages if m.complete}
    refused = any(isinstance(m, ServerError) and m.complete for m in socket.messages)
    return len(whole) == 2 or refused or socket.app_protocol in ("http", "http2", "tls", "dns", "ssh")


def said_number(who: Victim, header: bytes) -> int | None:
    """The value of a length header that the program names in its error, read in any byte order, signed or not."""
    numbers = {int(n) for n in re.findall(r"-?\d{1,20}", who.said.text)}
    for size, codes in ((4, "Ii"), (8, "Qq"), (2, "Hh")):
        for order in "><":
            for code in codes:
                if len(header) >= size:
                    value = int(struct.unpack_from(order + code, header)[0])
                    if value in numbers and (value < 0 or value >= 1 << 16):
                        return value
    return None


def impossible_length(data: bytes) -> tuple[int, int, str] | None:
    """(offset, value, layout) of a length that cannot be: after frames that fit, or in a header of its own."""
    walks = (_walk(layout, data) for layout in LAYOUTS if layout.width == 4)
    return next((found for found in walks if found is not None), None)


def impossible_header(socket: Socket) -> int | None:
    """The value of four bytes that were received by themselves, as a length is, when it cannot be one in either order."""
    for event in socket.timeline:
        if isinstance(event, Received) and not event.record.errno and event.size == 4 and event.asked() in (None, 4):
            header = next((known for known, _ in event.payload()), b"")
            if len(header) == 4 and min(struct.unpack(order, header)[0] for order in (">I", "<I")) > SANE:
                return int(struct.unpack(">I", header)[0])
    return None


def short_frame(socket: Socket) -> tuple[int, int, list[Event]] | None:
    """(length announced, bytes that came, calls) where the program's own reads give the frame away: it asked for the 2 or 4
    bytes of a length and got them, then asked for just as many bytes as they say, and the stream ended before those came.
    """
    reads = [e for e in socket.timeline if isinstance(e, Received) and not e.record.errno and b"PEEK" not in e.flags]
    if not reads or reads[-1].size or len(reads) < 3:
        return None
    for at in range(len(reads) - 2, -1, -1):
        head, wanted = reads[at], _wanted(reads[at + 1])
        if head.size not in (2, 4) or head.size != _wanted(head) or not wanted:
            continue
        known = head.payload()[0][0] if head.payload() else b""
        if len(known) != head.size or wanted not in (int.from_bytes(known, "big"), int.from_bytes(known, "little")):
            continue
        came = sum(e.size for e in reads[at + 1 :])
        return (wanted, came, [head, reads[-1]]) if came < wanted else None
    return None


def _wanted(event: Received) -> int | None:
    """The count argument, which follows the string that came; None where it does not show."""
    found = _COUNT.findall(event.record.args, max(0, len(event.record.args) - 200))
    return int(found[-1]) if found else None


def _walk(layout: Layout, data: bytes) -> tuple[int, int, str] | None:
    at = frames = 0
    while at + layout.width <= len(data) and frames < 1000:
        size = layout.length(data[at : at + layout.width])
        if not layout.width <= size <= SANE:
            value = size - layout.width * (not layout.inclusive)
            return (at, value, str(layout)) if frames else None
        at += size
        frames += 1
    return None


def first_and_last(socket: Socket) -> list[Event]:
    """Calls for evidence: the request and the last bytes that came."""
    turn = list(socket.turn.events[:1]) if socket.turn is not None else []
    last = last_received(socket)
    return [*turn, *([last] if last is not None else [])]
