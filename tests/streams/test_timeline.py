"""Which calls of a socket stay known."""

from __future__ import annotations

import pytest

from systrace.model import Analysis, Input, Received
from systrace.pipeline import analyze
from systrace.rules.pages import full_trace
from tests.rules.http_job import blamed

OPEN = (
    "9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.001>\n"
    '9 1.1 connect(3, {sa_family=AF_INET, sin_port=htons(7001), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.001>\n'
)
SAID = '9 3.0 write(2, "stock: -ERR table locked by BATCH07", 35) = 35 <0.001>\n'
END = "9 3.2 close(3) = 0 <0.001>\n9 3.3 +++ exited with 5 +++\n"


def analysed(text: str) -> Analysis:
    return analyze([Input("log", full_trace(text).encode().splitlines(keepends=True))])


def exchange(at: str, question: str, answer: str) -> str:
    return (
        f'9 {at}1 write(3, "{question}\\r\\n", {len(question) + 2}) = {len(question) + 2} <0.001>\n'
        f'9 {at}2 read(3, "{answer}\\r\\n", 4096) = {len(answer) + 2} <0.001>\n'
    )


def bytewise(at: str, text: str) -> str:
    """As the shell's `read` does."""
    letters = [*text, "\\r", "\\n"]
    return "".join(f'9 {at}{n:03} read(3, "{letter}", 1) = 1 <0.00001>\n' for n, letter in enumerate(letters))


REFUSAL = "-ERR table locked by BATCH07"
WORK = "".join(exchange(f"1.{n}", "LIST", "+OK 2") for n in range(2, 8))


@pytest.mark.parametrize(
    "last",
    [
        exchange("2.1", "LOCK", REFUSAL) + SAID + exchange("3.1", "QUIT", "+BYE"),  # a farewell stands behind it
        '9 2.01 write(3, "LOCK\\r\\n", 6) = 6 <0.001>\n' + bytewise("2.1", REFUSAL) + SAID,
    ],
    ids=["farewell", "bytes"],
)
def test_a_refusal_is_kept_though_the_connection_ended_in_good_order(last: str) -> None:
    """Only the first and last calls are; the program repeats what it was told."""
    analysis = analysed(OPEN + WORK + last + END)
    (socket,) = analysis.evidence.sockets.values()
    assert socket.dropped_events
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.peer) == ("server-error-reply", "192.0.2.7:7001")
    assert REFUSAL in finding.summary


@pytest.mark.parametrize("closed", [END, ""])
def test_between_the_latest_calls_none_is_missing(closed: str) -> None:
    """Whether the middle was thinned as the connection went on, or at its close."""
    many = "".join(exchange(f"1.{n:04}", "LIST", f"+OK {n:04}") for n in range(200))
    (socket,) = analysed(OPEN + many + closed).evidence.sockets.values()
    moved = [event for event in socket.timeline[socket.unbroken_from :] if isinstance(event, Received)]
    shown = [int(event.payload()[0][0][4:8]) for event in moved]
    assert shown == list(range(200 - len(shown), 200))
    assert len(shown) >= 2
