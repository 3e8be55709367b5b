"""Deaths on received data that no finer rule explains: by signal or by exception (verdicts 4.5, parse-crash)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from systrace.bodies.json_body import json_problem
from systrace.bodies.xml_body import xml_problem
from systrace.messages.problem import printable
from systrace.messages.sniffing import sniff
from systrace.messages.tls import TlsRecords
from systrace.model import Draft, Process, Socket, Step, Transfer
from systrace.rules.case.files import only_into_files
from systrace.rules.case.index import SECOND, Case
from systrace.rules.content.accusing import accusation, effect
from systrace.rules.content.answers import Answer, answers, last_received, received_bytes
from systrace.rules.content.defect import CODING_WORDS, TEXT_WORDS
from systrace.rules.content.said import EXCEPTION_WORDS, TRANSPORT_WORDS
from systrace.rules.content.sealed_words import spoken_of
from systrace.rules.content.victims import Victim, is_last_word, victim
from systrace.rules.examples import answered
from systrace.rules.rule import rule
from systrace.words import seconds

# From the last byte to the death: 6 to 170 ms were measured for Perl, Ruby, PHP, Node.js, jq, Python.
WINDOW_NS = 2 * SECOND


@rule(
    "parse-crash",
    gives_way=True,
    fires=answered(
        "application/json", '{\\"a\\": 1}', "TypeError: Cannot read properties of undefined (reading 'rows')"
    ),
    silent=answered("application/json", '{\\"a\\": 1}', status=0),
)
def parse_crash(case: Case) -> Iterator[Draft]:
    """The program died on received data, and nothing is wrong with it that our checks know.

    What it is: variants `signal` (SIGSEGV, SIGABRT and their like within seconds of the last byte) and `exception` (a
        traceback or its like after the last byte); the death may be in the reader of a pipe (`curl | jq`).
    Why it matters: the bytes that kill the program are in the log and can be replayed.
    What proves it: data received, no other network progress, the program's last words or the signal, soon after.
    Not this: a death on a timeout, reset or refusal, which come first; a defect in the answer, which the other rules
        name; an exit status that is the program's answer (grep, diff).
    What to do: save the exact bytes and feed them to the parser offline.
    Source: signal(7), core(5)
    """
    blamed: set[int] = set()
    for socket in reversed(case.clients):
        last = last_received(socket)
        if (
            last is None
            or socket.uid in spoken_of(case)
            or case.is_dns(socket)
            or not (socket.is_network or socket.family == "unix")
        ):
            continue
        process = case.owner_of(case.evidence.owners.get(last.record.tid))
        who = victim(case, process, case.ended(last))
        if who is None or who.process.pid in blamed:
            continue
        if not _died_of_data(case, socket, process, who, last):
            continue
        blamed.add(who.process.pid)
        yield _crash(case, socket, who, last)


def _died_of_data(case: Case, socket: Socket, process: Process | None, who: Victim, last: Transfer) -> bool:
    at = case.ended(last)
    if not who.ended_within(case, WINDOW_NS, at) or not is_last_word(case, process, at, socket):
        return False
    answered = socket.turn is None or socket.turn.answer_bytes or socket.type == "dgram"
    if case.first_error(socket) is not None or not answered:
        return False
    if who.crashed:
        return not _never_had_it(who)
    if _OWN_WORDS.search(who.said.line(EXCEPTION_WORDS)):
        return False
    if not who.said.has(EXCEPTION_WORDS) or who.said.has(TRANSPORT_WORDS) or _is_sound(case, socket, who):
        return False
    value = _BAD_VALUE.search(who.said.line(EXCEPTION_WORDS))
    data, whole = received_bytes(socket)
    return value is None or not whole or value[1].encode() in data


def _never_had_it(who: Victim) -> bool:
    """What came went into files, and none of them is known to have been read by the process that crashed."""
    if who.process is who.receiver or who.receiver is None or who.read_at is not None:
        return False
    return only_into_files(who.receiver)


# What has nothing to do with the data that came: children, local databases, names, settings, arithmetic, memory.
_OWN_WORDS = re.compile(
    r"CalledProcessError|sqlite3\.|RecursionError|NameError|ImportError|ZeroDivisionError|[Dd]ivi(?:sion|ded|de) by (?:0|zero)"
    r"|OutOfMemoryError|StackOverflowError|[Mm]aximum call stack|NotImplemented"
)


# What came lacks a field that the program wants: sound, and yet not what was due.
_LACKS = (
    r"KeyError|NoneType|undefined|[Cc]annot read propert|NullPointer|NilClass|for nil\b|no such element|NoSuchElement"
)


def _blames_nobody(case: Case, socket: Socket, who: Victim) -> bool:
    """The data is sound as far as our checks go, and nothing is said to be missing in it; or it is sealed, and the complaint
    is none of a parser: that the program died of it is no more than the order of things.
    """
    if _is_sealed(socket):
        return who.crashed or not who.said.has(f"{_NO_JSON}|{_NO_XML[4:]}|{TEXT_WORDS[4:]}|{CODING_WORDS[4:]}")
    if not who.crashed and who.said.has(_LACKS):
        return False
    answer = next((each for each in reversed(answers(case)) if each.socket is socket), None)
    if answer is not None:
        body = answer.response.body
        return answer.response.complete and body is not None and body.whole
    return bool(socket.messages) and socket.messages[-1].complete


def _is_sound(case: Case, socket: Socket, who: Victim) -> bool:
    """It complains of a syntax against which what came over this connection does not offend: it read something else."""
    answer = next((each for each in reversed(answers(case)) if each.socket is socket), None)
    body = answer.response.body if answer is not None and answer.response.complete else None
    if body is None or not body.whole:
        return False
    if body.kind() == "json":
        return who.said.has(_NO_JSON) and json_problem(body) is None
    return body.kind() == "xml" and who.said.has(_NO_XML) and xml_problem(body) is None


# What parsers say of text that is not of their language at all.
_NO_JSON = (
    r"(?i)JSONDecodeError|JSON::ParserError|json\.parse|unexpected token|expecting value"
    r"|unexpected end of (?:data|input|json)|invalid numeric literal|parse error:|json.{0,20}syntax error|malformed json"
    r"|invalid character '.{1,6}' (?:looking|after|in )"
)
_NO_XML = (
    r"(?i)not well-formed|mismatched tag|no element found|start tag expected|document is empty|parser error"
    r"|xml.{0,20}ParseError"
)

# What a program could not convert, in its own words: where that is not among what came, it came from elsewhere.
_BAD_VALUE = re.compile(
    r"""(?:invalid literal|could not convert|For input string|time data|Invalid isoformat|Unparseable date|strconv\.\w+)"""
    r"""[^'"]{0,60}['"]([^'"\n\\]{2,60})['"]"""
)


def _crash(case: Case, socket: Socket, who: Victim, last: Transfer) -> Draft:
    finding = accusation(case, "parse-crash", socket, [last], who, EXCEPTION_WORDS if who.said.text else None)
    finding.variant = "signal" if who.crashed else "exception"
    finding.confidence = "likely" if who.crashed else "possible"
    if who.end is not None and case.has_clock:
        finding.duration_ns = who.end - case.ended(last)
    after = f"{seconds(finding.duration_ns)} after" if finding.duration_ns is not None else "after"
    answer = next((a for a in reversed(answers(case)) if a.socket is socket), None)
    what = f"the answer to {answer.url} " if answer is not None else ""
    shown, checked = _checked(socket, last, answer)
    finding.summary = (
        f"{case.name_of(who.receiver)} received {what}from {case.label(socket)} ({socket.received.original_len} "
        f"bytes; {shown}); {after} its last byte, {effect(case, who, EXCEPTION_WORDS)}. {checked}"
    )
    finding.causes = [
        "the program does not expect such data: a field is missing, a value is of another kind",
        "a bug of the parser on unusual input (length, encoding)",
    ]
    save = f"systrace follow LOG --socket {socket.uid} --save-body FILE"
    finding.next_steps = [Step(save, "these bytes; feed them to the parser offline")]
    finding.remedy = ["validate before use; correct the parser"]
    finding.refuted_by = "the same bytes being accepted by the same program in another run"
    if _blames_nobody(case, socket, who):
        finding.peer, finding.confidence = None, "possible"
        finding.causes.insert(0, "a fault of the program itself, that has nothing to do with what came")
        if _is_sealed(socket) and not who.crashed:
            finding.severity = "info"  # nothing is known of what came
    return finding


def _is_sealed(socket: Socket) -> bool:
    return any(isinstance(m, TlsRecords) and m.sealed for m in socket.messages)


def _checked(socket: Socket, last: Transfer, answer: Answer | None) -> tuple[str, str]:
    """(what the bytes received are, whether they could be checked)."""
    if _is_sealed(socket):
        return "encrypted", "What came is encrypted, and could not be checked."
    if answer is not None and answer.response.body is not None:
        body = answer.response.body.data()
    else:
        body = next((known for known, _ in last.payload()), b"")
    if not body:
        return "the log does not show them", "They could not be checked."
    return f"{sniff(body)}, beginning “{printable(body[:40], 60)}”", "No defect was found in the data by our checks."
