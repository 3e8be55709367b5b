"""From defects to findings: which answer a job died of, as one pair of cause and effect."""

from __future__ import annotations

import re
from collections.abc import Iterator

from systrace.messages.http import HttpRequest, HttpResponse
from systrace.model import Draft, Event, Printed, Received, Socket, Step, Transfer
from systrace.rules.advice.probes import ask_again
from systrace.rules.case.index import Case, once
from systrace.rules.content import body_defects, http_defects
from systrace.rules.content.answers import Answer, answers
from systrace.rules.content.defect import Defect
from systrace.rules.content.passed_on import unpacked
from systrace.rules.content.said import EXCEPTION_WORDS, TRANSPORT_WORDS, Said, own_words
from systrace.rules.content.victims import PROMPT_NS, Victim, complainer, content, is_last_word, later_step, victim

_MOST = 400  # answers with a defect that are looked at, from the end


# In the order of explanation: a cut answer explains broken JSON, compressed bytes explain a wrong character, an error
# page explains a parser's complaint.
_JUDGES = (
    http_defects.redirected,
    http_defects.truncated,
    http_defects.framed,
    http_defects.page,
    http_defects.status,
    body_defects.coded,
    body_defects.plain,
    body_defects.empty,
    body_defects.charset,
    body_defects.json,
    body_defects.table,
    body_defects.error_object,
    body_defects.values,
)


def accused(case: Case, cause: str) -> Iterator[Draft]:
    """The findings of one cause among all that are wrong with answers of this case."""
    return (finding for finding in _all(case) if finding.cause == cause)


@once
def _all(case: Case) -> list[Draft]:
    """One accusation a victim: the last answer that its words fit, else the last one with a defect."""
    recovered: list[Draft] = []
    chosen: dict[int, tuple[bool, Draft]] = {}
    for answer in answers(case)[-_MOST:]:
        status = answer.response.status
        if status in (101, 304) or _unasked(case, answer):
            continue
        if _made_good(answer):
            recovered += [_recovered(case, answer)] if status >= 500 or status == 429 else []
            continue
        blamed = _blamed(case, answer)
        if blamed is None:
            recovered += [_recovered_part(case, answer)] if _fetched_again(case, answer) else []
            continue
        who, defect = blamed
        fits = who.said.has(defect.words)
        fitted, before = chosen.get(who.process.pid, (False, None))
        if fitted and not fits:
            continue
        finding = _accusation(case, answer, who, defect)
        if before is not None and (before.cause, before.peer) == (finding.cause, finding.peer):
            finding.count += before.count
        chosen[who.process.pid] = fits, finding
    return recovered + [finding for _, finding in chosen.values()]


def _blamed(case: Case, answer: Answer) -> tuple[Victim, Defect] | None:
    """(who failed of an answer, what was wrong with it)."""
    who = victim(case, answer.process, answer.at) or _swallowed(case, answer) or _unnoticed(case, answer)
    who = who or later_step(case, answer.process)
    if who is None or (answer.passed_on and who.process is who.receiver):
        return None
    asked = answer.response.request
    own = hosts_of(answer.socket) | ({re.sub(r":\d+$", "", asked.host)} if asked else set())
    others = hosts(case) - own
    who.said = who.said.without(others, frozenset(own))
    if not who.said.text and not who.said.elsewhere:  # silent since: its last words are older than this answer
        who.said.elsewhere = Said(own_words(case, who.process)).without(others, frozenset(own)).elsewhere
    for judge in _JUDGES:
        defect = judge(answer, who)
        tells = _stands_out if who.guessed else _decisive
        if defect is not None and tells(case, answer, who, defect):
            return who, defect
    return None


@once
def hosts(case: Case) -> frozenset[str]:
    """Addresses and names of all that the log shows as peers on the network, without and with their ports."""
    return frozenset(host for socket in case.clients if socket.is_network for host in hosts_of(socket))


def hosts_of(socket: Socket) -> set[str]:
    """What words may call its peer."""
    if socket.peer is None:
        return {socket.name} if socket.name else set()
    hosts = {host for host in (socket.peer.host, socket.name) if host}
    return hosts | {f"{host}:{socket.peer.port}" for host in hosts} | {str(socket.peer)}


def _swallowed(case: Case, answer: Answer) -> Victim | None:
    """It ended with status 0 and an exception on its error channel, and this was the last thing that it met."""
    who = complainer(case, answer.process)
    return who if who is not None and who.said.has(EXCEPTION_WORDS) and _is_last(case, answer) else None


def _unnoticed(case: Case, answer: Answer) -> Victim | None:
    """The receiver that took a part for the whole: the answer was cut, and it ended with status 0 without a word of it."""
    if not case.sees_read or http_defects.truncated(answer, None) is None:
        return None
    who = content(case, answer.process)
    return who if who is not None and _is_last(case, answer) else None


def _unasked(case: Case, answer: Answer) -> bool:
    """No HTTP request was sent on this connection from its beginning: the peers do not speak HTTP with each other."""
    if answer.response.request is not None or answer.passed_on:
        return False
    return bool(answer.socket.attempts) and not _asked_unseen(case, answer.socket)


def _asked_unseen(case: Case, socket: Socket) -> bool:
    """A log without read(2) has no write(2) either (-e trace=network): who sent nothing that it shows, and whose first
    bytes in return were an HTTP answer, had asked by that.
    """
    if case.sees_read or socket.sent.calls:
        return False
    first = next((event.record for event in socket.timeline if isinstance(event, Received) and event.size), None)
    answer = next(iter(socket.messages), None)
    return isinstance(answer, HttpResponse) and [event.record for event in answer.events[:1]] == [first]


def _made_good(answer: Answer) -> bool:
    """The same request was answered well later."""
    return any(other.response.status < 400 and other.response.complete for other in answer.repeated)


def _fetched_again(case: Case, answer: Answer) -> bool:
    """Its receiver failed, as the answer was cut, and a later process of the job got the whole of the same, or its rest."""
    if case.fate(answer.process) != "failed" or http_defects.truncated(answer, None) is None:
        return False
    return any(
        other.key == answer.key and other.at > answer.at and other.response.status < 300 and other.response.complete
        for other in answers(case)
        if other.process is not answer.process and case.same_job(answer.process, other.process)
    )


def _decisive(case: Case, answer: Answer, who: Victim, defect: Defect) -> bool:
    """The program's own words fit the defect, or the answer is the last thing that it met before it ended at once."""
    if _complains_of_something_else(who, defect):
        return False
    if defect.cause == "encoded-body" and answer.response.body is not None and unpacked(case, answer.response.body):
        return False
    if who.said.has(defect.words):
        return True
    if case.fate(who.process) == "ok" and not answer.passed_on:
        return defect.cause == "truncated-response" and not who.said.has(EXCEPTION_WORDS)
    if answer.passed_on or re.search(TRANSPORT_WORDS, who.said.elsewhere) or _only_asked(case, answer, who):
        return False  # its own words that it passed on; a failure at another host, of which it spoke last
    silent = not who.said.text or who.said.cut
    if not silent and (not defect.proof or who.said.has(TRANSPORT_WORDS)):
        return False  # it complains of something else
    if who.ended_within(case, PROMPT_NS, answer.at) and _is_last(case, answer):
        return True
    return defect.proof and silent and answer.response.status >= 500


def _complains_of_something_else(who: Victim, defect: Defect) -> bool:
    """Its last sentence is of a file, a variable of a script or the transport, and not of what is wrong with the answer."""
    sentence = who.said.line() if not who.said.cut else ""
    return re.search(TRANSPORT_WORDS, sentence) is not None and re.search(defect.words, sentence) is None


def _only_asked(case: Case, answer: Answer, who: Victim) -> bool:
    """Whether something is there was the question, as far as can be told: the receiver ended with status 0, and nothing
    shows that who failed had read what it got.
    """
    if not 400 <= answer.response.status < 500 or who.process is who.receiver or who.read_at is not None:
        return False
    return case.fate(who.receiver) == "ok"


def _stands_out(case: Case, answer: Answer, who: Victim, defect: Defect) -> bool:
    """It is something else than what was asked for, whoever reads it; its receiver had it for its result, and nobody asked
    again with success.
    """
    if who.said.text and (not who.said.has(defect.words) or who.said.has(TRANSPORT_WORDS)):
        return False
    failed = answer.response.status >= 500 or defect.cause == "redirect-problem"
    other = defect.proof and (failed or defect.variant == "html")
    return other and _is_last(case, answer) and not _asked_again(case, answer)


def _asked_again(case: Case, answer: Answer) -> bool:
    """Another process of the job got what this one had asked for, before the redirects."""
    keys = {each.key for each in (*answer.before, answer)}
    ill = answer.response.status >= 300
    return any(
        other.key in keys and other.at > answer.at and other.response.status < 300
        and (ill or other.response.content_type != answer.response.content_type)
        for other in answers(case)
        if other.process is not answer.process
    )  # fmt: skip


def _is_last(case: Case, answer: Answer) -> bool:
    """The process met nothing after it: no other answer, no request that stayed without one, no other connection."""
    if any(other.response.status != 304 for other in answer.later):
        return False
    messages = answer.socket.messages
    at = next((i for i, message in enumerate(messages) if message is answer.response), 0)
    asked = answer.response.request  # stands after its answer where that came before the whole body was sent
    if any(isinstance(message, HttpRequest) and message is not asked for message in messages[at + 1 :]):
        return False
    return is_last_word(case, answer.process, answer.at, answer.socket)


def _accusation(case: Case, answer: Answer, who: Victim, defect: Defect) -> Draft:
    said, response = who.said.fitting(defect.words), answer.response
    finding = accusation(case, defect.cause, answer.socket, list(response.events), who, said)
    request_events: list[Event] = list(response.request.events) if response.request is not None else []
    finding.evidence = [*request_events[:1], *finding.evidence]
    finding.variant = defect.variant
    finding.confidence = "confirmed" if defect.proof and said else "likely" if defect.proof or said else "possible"
    if not defect.proof and any(other.response.status < 400 for other in answer.later):
        finding.confidence = "possible"  # it had gone on, as if nothing were wrong with that
    end = case.end_of_file(answer.socket) if defect.cause == "truncated-response" else None
    if end is not None:  # the sizes and the end are in the log, whatever the program says of them
        finding.confidence = "confirmed"
        finding.evidence.insert(max(1, len(finding.evidence) - 1), end.event)
    finding.time_ns = response.start_ns
    finding.summary = (
        f"{case.name_of(answer.process)}: the answer of {case.label(answer.socket)} to "
        f"{answer.url} {defect.text.removeprefix('(status 0) ')}; {effect(case, who, defect.words)}."
    )
    finding.causes = list(defect.causes)
    shown = Step(f"systrace follow LOG --socket {answer.socket.uid}", "what was asked and what came")
    finding.next_steps = ask_again(answer.socket, response.request) or [shown]
    finding.remedy = list(defect.remedy)
    finding.refuted_by = "the same bytes being accepted by the same program in another run"
    if who.guessed:
        finding.confidence = "possible"
        finding.refuted_by = (
            "the failed step not having read what was saved of this answer: the log does not show its files"
        )
    if answer.passed_on:
        finding.confidence = "possible"  # the receiver may have changed what came
        finding.refuted_by = "another content of the answer itself: record it again with systrace run --tls-keys"
    partly = response.body is not None and not response.body.whole
    if partly and defect.cause not in ("http-error-status", "truncated-response"):
        finding.confidence = "likely" if finding.confidence == "confirmed" else "possible"
    return finding


def accusation(
    case: Case, cause: str, socket: Socket, events: list[Event], who: Victim, words: str | None = None
) -> Draft:
    """A fatal finding about a socket; evidence and date are the death, and the words of the victim when a pattern is given."""
    spoken = _words(who.said, words) if words is not None else []
    finding = case.finding(cause, socket, [*events, *spoken], who.process)
    if who.process.exit_event is not None and who.process.exit_event.record.raw:
        finding.evidence.append(who.process.exit_event)
    finding.severity = "error" if case.fate(who.process) == "ok" else "fatal"
    finding.confidence = "likely"
    if finding.evidence:
        finding.end_ns = max(case.ended(e) for e in finding.evidence)
    return finding


def effect(case: Case, who: Victim, words: str = "") -> str:
    """`jq[4242] then failed: “parse error ...” (exit status 4)`; words that fit the pattern are preferred."""
    if who.process.exit_code == 0 and not who.said.has(words or EXCEPTION_WORDS):
        return "the program took it for the whole and ended with exit status 0"
    if who.waits:
        return "the program still waited for more when the log ended"
    line = who.said.line(words)
    name = "the program" if who.process is who.receiver else case.name_of(who.process)
    verb = "crashed" if who.process.signal is not None else "failed"
    return f"{name} then {verb}" + (f": “{line}”" if line else "") + f" ({who.how})"


def _words(said: Said, words: str) -> list[Event]:
    """The calls that wrote the sentence quoted."""
    line = said.line(words).encode("utf-8", "replace")
    begun = b"".join(map(_data, said.events)).rfind(line[:40]) if line else -1
    for event in said.events if begun >= 0 else ():  # some programs write a message in parts
        begun -= len(_data(event))
        if begun < 0:
            return [event]
    return [e for e in said.events if e.record.raw][-1:]


def _data(event: Event) -> bytes:
    if isinstance(event, Transfer):
        return next((known for known, _ in event.payload()), b"")
    return event.data if isinstance(event, Printed) else b""


def _recovered_part(case: Case, answer: Answer) -> Draft:
    response = answer.response
    finding = case.finding("truncated-response", answer.socket, list(response.events), answer.process)
    finding.severity, finding.confidence, finding.recovered = "info", "confirmed", "retry"
    finding.summary = (
        f"{case.name_of(answer.process)}: the answer of {case.label(answer.socket)} to {answer.url} was cut; a later try "
        "got the rest."
    )
    finding.remedy = ["nothing to do for this run; the server's log says why it ended early"]
    finding.refuted_by = "the second try not having been for the same thing"
    return finding


def _recovered(case: Case, answer: Answer) -> Draft:
    response = answer.response
    finding = case.finding("http-error-status", answer.socket, list(response.events), answer.process)
    finding.variant, finding.severity, finding.confidence = f"status-{response.status}", "info", "confirmed"
    finding.recovered = "retry"
    finding.summary = (
        f"{case.name_of(answer.process)}: {case.label(answer.socket)} answered {response.status} to {answer.url}; a retry of "
        "the same request worked."
    )
    finding.remedy = ["nothing to do for this run; the server's log says why it refused"]
    finding.refuted_by = "the retry not having been for the same thing"
    return finding
