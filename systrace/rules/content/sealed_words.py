"""What came within TLS by the words of the program that failed of it: the log cannot show the answer, and holds what they say
against what it does show (the peer's end, who spoke last).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from systrace.dataclass import dataclass
from systrace.messages.tls import TlsAlert, TlsRecords
from systrace.model import Draft, Event, Socket, Step
from systrace.rules.case.ends import end_without_answer
from systrace.rules.case.index import SECOND, Case, once
from systrace.rules.case.sealed import exchange_of, is_sealed
from systrace.rules.content.accusing import accusation, effect, hosts, hosts_of
from systrace.rules.content.answers import answers, last_received
from systrace.rules.content.exchanges import first_and_last
from systrace.rules.content.said import Said, own_words
from systrace.rules.content.victims import PROMPT_NS, Victim, is_last_word, victim

_EMPTY_WORDS = (
    r"Empty reply from server"  # curl and what is built on it
    r"|RemoteDisconnected|Remote end closed connection without response|ServerDisconnectedError"  # Python
    r"|Server disconnected without sending a response"
    r"|No data received\."  # wget
    r"|header parser received no bytes|Unexpected end of file from server|NoHttpResponseException"  # Java
    r"|\bsocket hang up\b|fetch failed\n\[cause\]: SocketError: other side closed"  # Node.js
    r"|(?:Get|Head|Post|Put|Patch|Delete) \"https://[^\"]*\": EOF$"  # Go
    r"|Server closed connection without sending any data back"  # Perl
)
_CUT_WORDS = (
    r"transfer closed with (?:\d+ bytes|outstanding read data) remaining|end of response with \d+ bytes missing"  # curl
    r"|HTTP/2 stream \d+ was not closed cleanly before end of the underlying stream"
    r"|IncompleteRead\(|Response ended prematurely|InvalidChunkLength|Response payload is not completed"  # Python
    r"|Not enough data (?:for|to) satisfy (?:content|transfer) length header"
    r"|peer closed connection without sending complete message body"
    r"|Connection closed at byte \d+"  # wget
    r"|fixed content-length: \d+, bytes received: \d+|chunked transfer encoding, state: |\bPremature EOF\b"  # Java
    r"|Premature end of (?:Content-Length delimited message|chunk coded message) body"
    r"|^\w*Error: (?:aborted|terminated|stream has been aborted)$|\bPremature close$"  # Node.js
    r"|\bunexpected EOF$"  # Go
)
_REASONS = (
    "Bad Request|Unauthorized|Forbidden|Not Found|Method Not Allowed|Conflict|Gone|Too Many Requests|Internal Server Error"
    "|Bad Gateway|Service Unavailable|Gateway Time-?out"
)
# A number that the words around it call a status of HTTP.
_STATUS_WORDS = re.compile(
    r"(?i)(?:\breturned error: |\bHTTP Error |\bERROR (?=\d{3}:)|\bstatus(?:[ _]code)?(?: of| is|:|=)? ?|\bHTTP/[\d.]+ "
    r"|\bHTTPError: |\bClientResponseError: |\bresponse code:? |\btoo many (?=\d{3} error responses))([45]\d\d)\b"
    rf"|\b([45]\d\d) (?:Server Error|Client Error|{_REASONS})\b"
    r"|\b([45]\d\d) \"[\w' -]+\" \(Net::HTTP\w+"
)
_OTHER_WORDS = re.compile(r"\bSSL|\bTLS|(?i:certificate|handshake|reset by peer|refused|broken pipe)")
_CHAIN = re.compile(r"\s*(?:Caused by|\[cause\]): ")
_EXCEPTION = re.compile(r"\s*(?:Exception in thread |(?:Uncaught )?[\w.$]*(?:Error|Exception)\b)")
_URL = re.compile(r"https?://([\w.-]+)")
_ALERT = 19  # bytes of a sealed alert of TLS 1.3 (RFC 8446 5.2, 6)


@dataclass(slots=True)
class Spoken:
    """What the words say of one connection."""

    cause: str
    who: Victim
    words: str  # the pattern that they fit
    events: list[Event]
    status: int = 0


@once
def spoken_of(case: Case) -> dict[str, Spoken]:
    """Socket -> what the program that failed of it says: at most one peer of each process."""
    found = {}
    for socket in case.clients:
        one = _spoken(case, socket)
        if one is not None and not _rival(case, socket, one):
            found[socket.uid] = one
    return found


def said_within(case: Case, cause: str) -> Iterator[Draft]:
    """The findings of one cause among them."""
    spoken = spoken_of(case)
    for socket in case.clients:
        one = spoken.get(socket.uid)
        if one is not None and one.cause == cause:
            yield _finding(case, socket, one)


def _spoken(case: Case, socket: Socket) -> Spoken | None:
    if not socket.is_network or not is_sealed(socket) or case.first_error(socket) is not None or socket.turn is None:
        return None
    process, last, end = case.process(socket), last_received(socket), _end_of(case, socket)
    at = max((case.ended(event) for event in (last, end) if event is not None), default=None)
    if at is None or not is_last_word(case, process, at, socket):
        return None
    who = victim(case, process, at)
    if who is None or who.process is not who.receiver or not who.ended_within(case, PROMPT_NS, at):
        return None
    text = _sentence(case, socket, who)
    for cause, words in (("empty-reply", _EMPTY_WORDS), ("truncated-response", _CUT_WORDS)):
        if re.search(words, text, re.MULTILINE):
            told = cause == "empty-reply" and (_rested(socket) or end_without_answer(case, socket) is not None)
            return Spoken(cause, who, words, [end]) if end is not None and not told else None
    found = _STATUS_WORDS.search(text)
    status = next(filter(None, found.groups())) if found is not None else ""
    if not status or exchange_of(socket).open or _legible(case, who, int(status)):
        return None
    return Spoken("http-error-status", who, rf"\b{status}\b", [], int(status))


def _rested(socket: Socket) -> bool:
    """The request went out after a pause: the peer may have ended the connection before it came (stale-connection)."""
    turn = socket.turn
    return turn is not None and socket.turns > 1 and (turn.idle_before_ns or 0) >= SECOND


def _end_of(case: Case, socket: Socket) -> Event | None:
    """The call that read the peer's end, or a sealed alert that was the last that came from it."""
    end = case.end_of_file(socket)
    if end is not None:
        return end.event
    received = [m for m in socket.messages if m.direction == "received"]
    alert = next((m for m in received if isinstance(m, TlsAlert) and m.code is None and m.events), None)
    if alert is not None:
        return alert.events[-1]
    records = next((m for m in received if isinstance(m, TlsRecords) and m.last_size == _ALERT and m.events), None)
    return records.events[-1] if records is not None else None


def _sentence(case: Case, socket: Socket, who: Victim) -> str:
    """The last sentence of the program, with those that it is named as the cause of; "" where it is of something else."""
    own = frozenset(hosts_of(socket))
    said = Said(own_words(case, who.process) or who.said.text).without(hosts(case) - own, own)
    line = said.line()
    named = set(_URL.findall(line))
    if said.elsewhere or said.timed_out or _OTHER_WORDS.search(line):
        return ""
    if socket.name and named and not named & own:
        return ""
    if not _CHAIN.match(line):
        return line
    lines = [each for each in said.text.splitlines() if _CHAIN.match(each) or _EXCEPTION.match(each)]
    first = max((at for at, each in enumerate(lines) if not _CHAIN.match(each)), default=0)
    return "\n".join(each.strip() for each in lines[first:])


def _legible(case: Case, who: Victim, status: int) -> bool:
    """It got such an answer elsewhere, where it can be read."""
    return any(each.process is who.receiver and each.response.status == status for each in answers(case))


def _rival(case: Case, socket: Socket, one: Spoken) -> bool:
    """Another peer within TLS answered the process after it had asked this one, and the words name neither of them."""
    own, request = hosts_of(socket), exchange_of(socket).request
    begun = (socket.turn.start_ns or 0) if socket.turn is not None and case.has_clock else 0
    asked = case.at(request) if request is not None else begun
    line = one.who.said.line(one.words)
    if any(name in line for name in own):
        return False
    others = (s for s in case.clients if case.process(s) is one.who.receiver and not hosts_of(s) & own and is_sealed(s))
    last = (event for event in map(last_received, others) if event is not None)
    return any(case.ended(event) > asked for event in last)


def _finding(case: Case, socket: Socket, one: Spoken) -> Draft:
    who, name, came = one.who, case.name_of(one.who.receiver), socket.received.original_len
    request = exchange_of(socket).request
    events = [*([request] if request is not None else []), *first_and_last(socket), *one.events]
    finding = accusation(case, one.cause, socket, events, who, one.words)
    finding.variant = f"status-{one.status}" if one.status else "tls"
    if one.cause == "empty-reply":
        told = (
            f"{name} sent a request within TLS to {case.label(socket)}, then came the peer's end; that no answer came"
        )
    else:
        told = f"{name} received {came} bytes within TLS from {case.label(socket)}"
        told += (
            f"; that the status was {one.status}"
            if one.status
            else ", then the peer's end; that the answer was not whole"
        )
    finding.summary = f"{told} only its own words tell: {effect(case, who, one.words)}."
    finding.causes = [
        "the server or its worker crashed or was stopped while it worked on this request",
        "a proxy or load balancer in the path ended the connection",
    ]
    finding.remedy = ["repair the server; repeat the request on a new connection where it may be repeated"]
    if one.status >= 500:
        finding.causes = ["the application, or what is behind it, failed on this request"]
        finding.remedy = ["retry with back-off"]
    elif one.status:
        finding.causes = ["the server does not accept the request as sent"]
        finding.remedy = ["correct the request or its credentials: a retry will not help"]
    finding.next_steps = [
        Step(why="the server's log for this request"),
        Step("systrace run --tls-keys -- COMMAND", "a recording that shows the answer itself"),
    ]
    finding.refuted_by = "another answer in a recording with session keys (systrace run --tls-keys)"
    return finding
