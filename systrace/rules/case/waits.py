"""What the rules on waits share: which of them count, and how they are told."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.messages.replies import Request
from systrace.model import Draft, Fact, Socket
from systrace.rules.case.index import Case
from systrace.rules.case.sealed import exchange_of, is_sealed
from systrace.rules.case.stalls import Stall, awaits_clients, open_wait, stall_of
from systrace.rules.case.unfinished import awaits_end, only_watched

_PINGS = ("PING", "PINGREQ")


def stalls(case: Case, direction: str) -> Iterator[Stall]:
    """The waits in one direction (r, w) that may be to blame: not for names, at rest, or on what was inherited."""
    for socket in case.clients:
        if case.is_dns(socket):
            continue
        stall = stall_of(case, socket)
        if stall is None or stall.direction != direction:
            continue
        if stall.phase == "idle" and only_watched(stall):
            continue
        if stall.ended != "limit" and by_design(socket):
            continue
        if socket.inherited and socket.turn is None and socket.last_word != "ours" and _serves(case, stall):
            continue  # a pool at rest, the channel to a parent: what is waited for are clients
        if socket.family == "unix" and socket.inherited and not hung_at_attach(stall):
            continue  # standard input or the like, given by whoever started the job
        yield stall


def by_design(socket: Socket) -> bool:
    """The client waits for what comes when something happens, and nothing else is owed: it has subscribed (and the server
    has said so), asked for the next item with no limit, or had its ping answered, which nobody does who waits for an answer.
    """
    asked = [m for m in socket.messages if isinstance(m, Request) and m.direction == "sent"]
    if not asked or any(each.unanswered and each.awaits != "itself" for each in asked):
        return False
    last = asked[-1]
    if last.unanswered or last.verb in _PINGS:
        return True
    return any(each.awaits == "events" and each.answered for each in asked)


def _serves(case: Case, stall: Stall) -> bool:
    """Its process does, or it is a worker of one that takes clients (and may be handed one)."""
    if stall.process is None or not case.attached:
        return False
    servers = [s for s in case.evidence.sockets.values() if s.role == "server"]
    waited = (span.pid for s in servers if (span := open_wait(s)) is not None)
    taken = any(not s.inherited for s in servers) or stall.process.pid in waited
    return taken or awaits_clients(case, stall.process)


def hung_at_attach(stall: Stall) -> bool:
    """The kernel's own tables showed this wait before the trace began: the process was attached to because of it."""
    return stall.span is not None and isinstance(stall.span.events[0], Fact)


def what(stall: Stall) -> str:
    """What was waited for, in words."""
    return {"greeting": _first_word, "middle": _rest, "idle": _more}.get(stall.phase, _answer)(stall)


def _first_word(stall: Stall) -> str:
    socket = stall.socket
    if socket.family == "unix" and socket.inherited:
        return "anything"
    if socket.inherited and not socket.attempts:
        return "data (what was said before the trace is not in the log)"
    return "the first word of the server (nothing had been sent either way)"


def _rest(stall: Stall) -> str:
    socket = stall.socket
    received = socket.turn.answer_bytes if socket.turn is not None else 0
    if is_sealed(socket):
        return f"an answer, or the rest of one (TLS hides what the {received} bytes are that had come)"
    return f"the rest of an answer that had begun ({received} bytes had come)"


def _more(stall: Stall) -> str:
    if awaits_end(stall.socket, stall.span):
        return "the end of the connection, which it had asked for (the answer is complete),"
    return "more data (the last answer was complete as far as can be seen)"


def _answer(stall: Stall) -> str:
    socket, sealed = stall.socket, exchange_of(stall.socket)
    if sealed.open:
        came = "nothing came but session tickets" if sealed.tickets else "not one byte came"
        return f"the answer to its request of {sealed.asked} bytes within TLS ({came})"
    sent = socket.turn.request_bytes if socket.turn is not None else 0
    return f"the answer to its request of {sent} bytes (not one byte came)"


def base(case: Case, cause: str, stall: Stall) -> Draft:
    """A finding about a stall, as far as all of them are alike."""
    finding = case.finding(cause, stall.socket, stall.events, stall.process)
    finding.severity, finding.duration_ns = "fatal", stall.waited_ns
    finding.variant = {"answer": "no-answer", "middle": "mid-answer"}.get(stall.phase, stall.phase)
    if stall.span is not None and stall.span.end_ns is None and case.last_ns is not None:
        finding.end_ns = case.last_ns
    return finding


CUT = "the log ends in this call: how long it lasted cannot be told"


def how_it_ended(stall: Stall) -> str:
    """What ended the wait, in words."""
    if stall.ended.startswith("signal "):
        return f"then {stall.ended.removeprefix('signal ')} ended the process"
    if stall.cut and not hung_at_attach(stall):
        return CUT
    if stall.ended == "log end":
        return "it was still waiting when the log ended"
    return "then the process ended"
