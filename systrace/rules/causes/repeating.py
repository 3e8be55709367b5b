"""Requests that were sent again, and may have been done twice (RFC 9110 9.2.2)."""

from __future__ import annotations

from collections.abc import Iterator

from systrace.calls import READS
from systrace.messages.http import HttpRequest
from systrace.messages.transactions import Exchange, exchanges
from systrace.model import Draft, Step
from systrace.rules.case.index import SECOND, Case
from systrace.rules.rule import Harm, rule
from systrace.words import seconds

_UNSAFE = ("POST", "PATCH")
_KEYS = ("idempotency-key", "x-idempotency-key", "x-idempotence-key", "idempotence-key", "x-request-id", "if-match")
_SOON_NS = 900 * SECOND  # a later one is another run of a loop
_OPEN = (
    "9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.01>\n"
    '9 1.0 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("203.0.113.5")}, 16) = 0 <0.01>\n'
)
_PAY = '9 %s sendto(3, "%s /pay HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 3\\r\\n\\r\\na=1", %d, 0, NULL, 0) = %d <0.01>\n'
_GAVE_UP = "9 1.2 poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.005>\n9 6.3 close(3) = 0 <0.0001>\n"
_AGAIN = (
    _OPEN.replace("1.0", "7.0")
    + "%s9 7.2 recvfrom(3, "
    + '"HTTP/1.1 204 No\\r\\n\\r\\n", 99, 0, NULL, NULL) = 19 <0.01>\n9 7.3 close(3) = 0 <0.01>\n9 7.4 +++ exited with 0 +++'
)


@rule(
    "repeated-request",
    harm=Harm.DELAY,
    fires=_OPEN + _PAY % ("1.1", "POST", 57, 57) + _GAVE_UP + _AGAIN % (_PAY % ("7.1", "POST", 57, 57)),
    silent=_OPEN + _PAY % ("1.1", "PUT", 56, 56) + _GAVE_UP + _AGAIN % (_PAY % ("7.1", "PUT", 56, 56)),
)
def repeated_request(case: Case) -> Iterator[Draft]:
    """A request that changes something was sent again after its answer had not come: it may have been done twice.

    What it is: the same POST or PATCH (host, target and body) once more, after the first had no answer, and without a field
        that tells the server that it is the same one.
    Why it matters: no answer does not mean that nothing was done: an order, a payment, a mail may be there twice.
    What proves it: both requests, and no answer to the first.
    Not this: GET, HEAD, PUT and DELETE, which do the same when repeated; a request with an Idempotency-Key; another body.
    What to do: look whether it was done twice; send an idempotency key, or ask before repeating.
    Source: RFC 9110 9.2.2; draft-ietf-httpapi-idempotency-key-header
    """
    if not any(type(m) is HttpRequest and m.method in _UNSAFE and not m.answered for m in case.evidence.messages):
        return  # putting the exchanges of a long log together takes long
    waiting: dict[tuple[str, str, str], Exchange] = {}
    for each in exchanges(case.evidence):
        request = each.request
        if request is None or each.row.role != "client" or request.method not in _UNSAFE or request.head_cut:
            continue
        key = request.method, request.host, request.target
        before = waiting.pop(key, None)
        if before is not None and before.request is not None and _is_the_same(before.request, request, _SOON_NS):
            yield _repeated(case, before, each)
        if each.answer is None and request.complete and not _is_marked(request) and _in_vain(case, request):
            waiting[key] = each


def _is_marked(request: HttpRequest) -> bool:
    return any(request.header(name) for name in _KEYS)


def _in_vain(case: Case, request: HttpRequest) -> bool:
    """Its answer did not come, and the log would show it."""
    socket = case.evidence.sockets.get(request.socket)
    if request.answered or socket is None or socket.unseen or not case.shows(READS):
        return False
    process = case.process(socket)
    if process is not None and process.ring is not None:
        return False
    gave_up = any(wait.timed_out for wait in socket.waits) or bool(socket.faults)
    return gave_up or (socket.closed_by == "close" and bool(socket.waits))


def _is_the_same(one: HttpRequest, other: HttpRequest, within_ns: int) -> bool:
    """As far as both bodies are known, byte for byte, and soon after."""
    if one.received_length != other.received_length:
        return False
    if one.start_ns is not None and other.start_ns is not None and other.start_ns - one.start_ns > within_ns:
        return False
    bodies = [each.body.raw() if each.body is not None else b"" for each in (one, other)]
    known = min(map(len, bodies))
    return bodies[0][:known] == bodies[1][:known] and (known > 0 or not one.received_length)


def _repeated(case: Case, before: Exchange, again: Exchange) -> Draft:
    first, second = before.request, again.request
    assert first is not None
    assert second is not None
    socket = case.evidence.sockets.get(again.row.socket)
    events = [*first.events[:1], *second.events[:1]]
    finding = case.finding("repeated-request", socket, events, severity="warning", confidence="confirmed")
    later = None
    if first.start_ns is not None and second.start_ns is not None:
        later = second.start_ns - first.start_ns
    finding.duration_ns = later
    who = again.row.command or "the job"
    finding.summary = (
        f"{who}[{again.row.pid}] sent {first.method} {first.target} to {first.host or 'its peer'} again"
        f"{f' after {seconds(later)}' if later is not None else ''}, without an idempotency key; the first had no answer: "
        "it may have been done twice."
    )
    finding.causes = ["the client, or a library of it, repeats requests that had no answer"]
    finding.next_steps = [Step(why="on the server: was it done once or twice? its log of both moments")]
    finding.remedy = [
        "send an Idempotency-Key, the same with each repetition, if the server knows it",
        "do not repeat POST and PATCH by themselves (urllib3: Retry(allowed_methods=...); curl: no --retry-all-errors)",
    ]
    finding.refuted_by = "a server that takes the second for a repetition of the first by its content"
    return finding
