"""Refusals that nobody minded: the program that met them ended with status 0, or only its step failed; the job ended with 0
(no `set -e`, no -f).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from systrace.messages.replies import Reply, ServerError
from systrace.messages.tls import TlsAlert
from systrace.model import Draft, Event, Process, Socket
from systrace.rules.case.index import Case
from systrace.rules.content.answers import Answer, answers
from systrace.rules.content.exchanges import spoken
from systrace.rules.content.http_defects import truncated
from systrace.rules.content.said import own_words

_ASKS_ONLY = ("GET", "HEAD", "OPTIONS")
_CHALLENGES = (401, 407)
_THERE_ALREADY = (409, 412)  # conflict, precondition failed: what was to be so is so, or somebody else was first
_GONE_ALREADY = (404, 410)  # of a DELETE


_ALL_WELL = "it ended with status 0 all the same, and so did the job"


def unminded(case: Case, process: Process | None) -> bool:
    """It ended well, and so did its job."""
    return process is not None and case.fate(process) == "ok" and case.job_fate(process) == "ok"


def let_pass(case: Case, cause: str, socket: Socket, events: list[Event], process: Process | None, said: str) -> Draft:
    """A step that failed of a refusal, in a job that is degraded for it."""
    finding = case.finding(cause, socket, events, process)
    finding.severity, finding.confidence = "error", "confirmed"
    status = process.exit_code if process is not None else None
    ended = f"it ended with status {status}, the job went on and ended with 0" if status else _ALL_WELL
    finding.summary = f"{case.name_of(process)}: {said}; {ended}."
    finding.causes = ["the server refuses what was asked; nobody looks at its answer"]
    finding.remedy = ["let the step fail (curl -f, psql -v ON_ERROR_STOP=1), and the job with it (set -e)"]
    finding.refuted_by = "the refusal being what the program wanted to find out"
    return finding


def refused_answers(case: Case) -> Iterator[Draft]:
    """HTTP: what was to be stored or done was refused, and not asked again with success. A GET may be a question only,
    unless its process failed and named the status.
    """
    last: dict[tuple[int | None, tuple[str, str, str]], Answer] = {}
    latest: dict[tuple[str, str, str], Answer] = {}  # of the job: a loop around curl asks again by another process
    for answer in answers(case):
        last[answer.process.pid if answer.process is not None else None, answer.key] = latest[answer.key] = answer
    for answer in last.values():
        request, status = answer.response.request, answer.response.status
        if request is None or answer.passed_on:
            continue
        asks = request.method in _ASKS_ONLY
        minds_not = not asks and unminded(case, answer.process) and _denied(request.method, status)
        kept = latest[answer.key] is answer
        noted = (
            kept and asks and status >= 500 and unminded(case, answer.process)
        )  # what came may have been kept for data
        if not minds_not and not noted and not (kept and _failed_of(case, answer)):
            continue
        said = f"{case.label(answer.socket)} answered {answer.url} with {status} {answer.response.reason}".rstrip()
        events = [*request.events[:1], *answer.response.events[:1]]
        finding = let_pass(case, "http-error-status", answer.socket, events, answer.process, said)
        finding.variant = f"status-{status}"
        finding.severity = "info" if noted else finding.severity
        yield finding


def cut_answers(case: Case) -> Iterator[Draft]:
    """HTTP: an answer that was cut, of which its process failed; nobody asked again with success, and the job ended well."""
    whole = {a.key: a.at for a in answers(case) if a.response.status < 300 and a.response.complete}  # 206: the rest
    for answer in answers(case):
        process, defect = answer.process, truncated(answer, None)
        if defect is None or answer.passed_on or case.fate(process) != "failed" or case.job_fate(process) != "ok":
            continue
        if whole.get(answer.key, answer.at) > answer.at:
            continue
        end = case.end_of_file(answer.socket)
        events = [*answer.response.events[:1], *([end.event] if end is not None else [])]
        said = f"the answer of {case.label(answer.socket)} to {answer.url} {defect.text}"
        finding = let_pass(case, "truncated-response", answer.socket, events, process, said)
        finding.variant, finding.causes = defect.variant, list(defect.causes)
        finding.remedy = ["let the job fail with the step (set -e)", *defect.remedy]
        finding.refuted_by = "the part that came being all that the job wanted"
        yield finding


def _failed_of(case: Case, answer: Answer) -> bool:
    """Its process failed and said so with this status, and the job ended well all the same."""
    process, status = answer.process, answer.response.status
    if process is None or status < 400 or case.fate(process) != "failed" or case.job_fate(process) != "ok":
        return False
    return re.search(rf"\b{status}\b", own_words(case, process)) is not None


def _denied(method: str, status: int) -> bool:
    """What was asked for is not so, and this answer is not part of asking (RFC 9110 15.5)."""
    if status < 400 or status in (*_CHALLENGES, *_THERE_ALREADY):
        return False
    return method != "DELETE" or status not in _GONE_ALREADY


def refused_connections(case: Case) -> Iterator[Draft]:
    """Other protocols: on this connection the server did nothing but refuse (a login, a password that is missing), or its
    last word was a refusal and the process failed; if nobody was served by this peer later: some try until it works.
    """
    served: dict[str, int] = {}  # peer -> when it last answered otherwise
    refused: list[tuple[Socket, list[Reply]]] = []
    for socket in case.clients:
        replies = [m for m in socket.messages if isinstance(m, Reply) and m.direction == "received"]
        if replies and _refuses(replies[-1]):
            refused.append((socket, replies))
        elif replies:
            served[str(socket.peer)] = max(served.get(str(socket.peer), 0), replies[-1].start_ns or 0)
    for socket, replies in refused:
        process = case.process(socket)
        step_failed = case.fate(process) == "failed" and case.job_fate(process) == "ok"
        later = served.get(str(socket.peer), -1) >= (replies[0].start_ns or 0)
        only_refusals = unminded(case, process) and all(_refuses(reply) for reply in replies)
        if not only_refusals and (later or not step_failed):
            continue
        protocol = spoken(case, socket, replies[-1])
        said = f"{case.label(socket)} refused{f' ({protocol})' if protocol else ''}: {replies[-1].summary}"
        finding = let_pass(case, "server-error-reply", socket, list(replies[-1].events), process, said)
        finding.variant = protocol
        yield finding


def _refuses(reply: Reply) -> bool:
    """For good; not until it has loaded, or found its master."""
    return isinstance(reply, ServerError) and reply.code not in _LATER


_LATER = frozenset("LOADING BUSY TRYAGAIN MASTERDOWN CLUSTERDOWN".split())


def refused_handshakes(case: Case) -> Iterator[Draft]:
    """TLS: a fatal alert in clear, by either side, and the connection carried nothing else."""
    for socket in case.clients:
        process = case.process(socket)
        alert = next((m for m in socket.messages if isinstance(m, TlsAlert) and m.refuses), None)
        if alert is None or not unminded(case, process):
            continue
        by = (
            "its side refused the server's certificate or answer" if alert.direction == "sent" else "the server refused"
        )
        said = (
            f"the TLS handshake with {case.label(socket)} ended with the fatal alert {alert.name} ({alert.code}): {by}"
        )
        finding = let_pass(case, "tls-error", socket, list(alert.events), process, said)
        finding.variant = "client-alert" if alert.direction == "sent" else "server-alert"
        yield finding
