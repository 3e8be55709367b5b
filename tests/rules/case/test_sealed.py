"""Waits within TLS: what came before them may have been tickets, an answer or a part of one."""

from __future__ import annotations

import pytest

from systrace.model import Analysis
from systrace.rules.examples import connects
from tests.rules.http_job import blamed, judged, left, wrote

_HELLO = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03" + b"r" * 32 + b"\x00\x00\x02\x13\x01\x01\x00\x00\x00"
_AGREED = b"\x02\x00\x00\x2e\x03\x03" + b"r" * 32 + b"\x00\x13\x01\x00\x00\x06\x00\x2b\x00\x02\x03\x04"
_FLIGHT = b"\x16\x03\x03\x00\x32" + _AGREED
_TICKET, _ANSWER, _ALERT = 250, 693, 19
_TIMEOUT = "9 2.0 poll([{fd=3, events=POLLIN}], 1, 2000) = 0 (Timeout) <2.002>"
_LOOP = (
    "9 0.9 epoll_create1(EPOLL_CLOEXEC) = 5 <0.0001>\n"
    "9 1.05 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data={u32=3, u64=3}}) = 0 <0.0001>\n"
    "9 2.0 epoll_wait(5, [], 1024, 2000) = 0 <2.002>"
)
_CLOSE = "9 4.1 close(3) = 0 <0.0001>"


def record(*sizes: int) -> bytes:
    """Sealed records."""
    return b"".join(b"\x17\x03\x03" + size.to_bytes(2, "big") + b"s" * size for size in sizes)


def moves(time: float, data: bytes, sent: bool = False) -> str:
    """One call that does."""
    text, size = "".join(f"\\{byte:03o}" for byte in data), len(data)
    call, rest = ("sendto", f"{size}, 0, NULL, 0") if sent else ("recvfrom", "65536, 0, NULL, NULL")
    return f'9 {time} {call}(3, "{text}", {rest}) = {size} <0.0001>'


def asked(*came: int) -> list[str]:
    """A handshake, a request, and the records that came after it at once."""
    return [
        connects("0 <0.01>", 443).strip(), moves(1.1, _HELLO, sent=True), moves(1.2, _FLIGHT + record(69)),
        moves(1.3, b"\x14\x03\x03\x00\x01\x01" + record(69), sent=True), moves(1.4, record(141), sent=True),
        *(moves(1.5, record(size)) for size in came),
    ]  # fmt: skip


def cause_of(analysis: Analysis) -> str:
    return next((finding.cause for finding in blamed(analysis)), analysis.verdict.cause)


@pytest.mark.parametrize(
    ("came", "variant", "confidence"),
    [
        ([], "no-answer", "confirmed"),
        ([_TICKET, _TICKET], "no-answer", "confirmed"),
        ([_TICKET], "mid-answer", "likely"),  # or an answer: that cannot be told
        ([_TICKET, _TICKET, _ANSWER], "mid-answer", "likely"),
    ],
)
@pytest.mark.parametrize("wait", [_TIMEOUT, _LOOP])
def test_a_limit_that_ran_out_within_tls(wait: str, came: list[int], variant: str, confidence: str) -> None:
    """The program says so, and ends at once."""
    analysis = judged(*asked(*came), wait, _CLOSE, wrote(9, 4.2, "ssl: the read operation timed out"), left(9, 4.3, 1))
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant, finding.confidence) == ("read-timeout", variant, confidence)
    assert finding.peer == "192.0.2.7:443"
    assert ("session tickets" in finding.summary) == (came == [_TICKET, _TICKET])


def test_a_farewell_after_the_limit_changes_nothing() -> None:
    """curl says close_notify before it closes: it had waited all the same."""
    analysis = judged(
        *asked(_TICKET, _TICKET), _TIMEOUT, moves(4.05, record(_ALERT), sent=True), _CLOSE, left(9, 4.3, 28)
    )
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant) == ("read-timeout", "no-answer")
    assert "141 bytes within TLS" in finding.summary


@pytest.mark.parametrize("came", [[_TICKET, _TICKET], [_TICKET, _TICKET, _ANSWER], [_TICKET]])
@pytest.mark.parametrize("wait", [_TIMEOUT, _LOOP])
def test_a_job_that_ended_well_had_no_need_of_an_answer(wait: str, came: list[int]) -> None:
    """A log line was handed in, or a connection that was kept for later had its time."""
    farewell = moves(4.05, record(_ALERT), sent=True)
    assert judged(*asked(*came), wait, farewell, _CLOSE, left(9, 4.3)).verdict.outcome == "healthy"
    assert judged(*asked(*came), wait, _CLOSE, left(9, 4.3)).verdict.outcome == "healthy"


def test_an_event_loops_timer_is_no_limit_of_a_connection_that_was_answered() -> None:
    """The connection is kept for later, and the program fails of something else when a timer of its own runs out."""
    words = wrote(9, 4.2, "KeyError: rows")
    assert not blamed(judged(*asked(_TICKET, _TICKET, _ANSWER), _LOOP, _CLOSE, words, left(9, 4.3, 1)))


def test_whoever_is_stopped_while_only_tickets_have_come_hangs() -> None:
    analysis = judged(
        *asked(_TICKET, _TICKET),
        "9 2.0 poll([{fd=3, events=POLLIN}], 1, 60000 <unfinished ...>",
        "9 9.0 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---",
        "9 9.1 +++ killed by SIGTERM +++",
    )
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant, analysis.verdict.outcome) == ("hung-read", "no-answer", "hung")


@pytest.mark.parametrize(
    ("last", "words", "cause"),
    [
        (_TIMEOUT, "ssl.SSLError: it is over", "read-timeout"),
        (_TIMEOUT, "TimeoutError: The read operation timed out (_ssl.c:2580)", "read-timeout"),
        (moves(3.9, record(_ALERT)), "ssl.SSLError: tlsv13 alert certificate required", "tls-error"),
    ],
)
def test_silence_is_no_refusal(last: str, words: str, cause: str) -> None:
    """A server that refuses the client's certificate says so after the client's Finished, and the request (RFC 8446 4.4.2)."""
    analysis = judged(*asked(), last, _CLOSE, wrote(9, 4.2, words), left(9, 4.3, 1))
    assert cause_of(analysis) == cause


def test_a_handshake_that_stands_still_is_no_refusal_either() -> None:
    """The server's flight does not come to its end."""
    analysis = judged(
        *asked()[:2], moves(1.2, _FLIGHT), _TIMEOUT, _CLOSE,
        wrote(9, 4.2, "ssl.SSLError: _ssl.c:975: The handshake operation timed out"), left(9, 4.3, 1),
    )  # fmt: skip
    assert cause_of(analysis) == "read-timeout"
