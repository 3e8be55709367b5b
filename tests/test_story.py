"""Evidence in words: decoded, one sentence a call, and never more than the call says."""

from __future__ import annotations

import pytest

from systrace.model import Event, Finding, Health, Input, Process, Style
from systrace.parser import records
from systrace.parser.syscalls import SYSCALLS, wanted_names
from systrace.pipeline import analyze
from systrace.rules import RULES
from systrace.rules.examples import FAIL, asks, connects
from systrace.rules.pages import full_trace
from systrace.story import Story, Told

ADDRESS = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16'


def told(line: str) -> Told:
    """What is told of one call of process 9."""
    analysis = analyze([Input("log", [b"9 1700000001.0 getpid() = 9 <0.1>\n", f"9 1700000002.0 {line}\n".encode()])])
    evidence = analysis.evidence
    evidence.owners[9] = 9
    evidence.processes[9] = Process(9, argv=("job",))
    return Story(evidence, Finding("x", pid=9)).tell(event(line))


def event(line: str) -> Event:
    lines = [f"9 1700000002.000000 {line}\n".encode()]
    found = records([Input("log", lines)], wanted_names(), Health(), Style())
    made = [SYSCALLS[record.syscall](record) for record in found if record.syscall in SYSCALLS]
    assert made[0] is not None
    return made[0]


@pytest.mark.parametrize(
    ("line", "direction", "text"),
    [
        (f"connect(3, {ADDRESS}) = 0 <0.25>", "sent", "connected to 192.0.2.7:80 in 0.25 s"),
        (f"connect(3, {ADDRESS}) = -1 EINPROGRESS (x) <0.1>", "sent", "began to connect to 192.0.2.7:80"),
        (
            f"connect(3, {ADDRESS}) = -1 ECONNREFUSED (x) <0.25>",
            "sent",
            "connect to 192.0.2.7:80 failed after 0.25 s: connection refused (ECONNREFUSED)",
        ),
        (
            f"connect(3, {ADDRESS}) = -1 ETIMEDOUT (x) <130.5>",
            "waited",
            "connect to 192.0.2.7:80: no answer for 130 s (ETIMEDOUT)",
        ),
        ('sendto(3, "EHLO a\\r\\n", 8, 0, NULL, 0) = 8 <0.1>', "sent", 'sent 8 bytes: "EHLO a\\r\\n"'),
        (
            'sendto(3, "x", 1, 0, NULL, 0) = -1 EPIPE (x) <0.1>',
            "sent",
            "could not send: broken pipe (EPIPE)",
        ),
        ('write(2, "curl: (28) no\\n", 14) = 14 <0.1>', "said", 'said: "curl: (28) no"'),
        ('recvfrom(3, "", 99, 0, NULL, NULL) = 0 <0.1>', "received", "received the end: the other side has closed"),
        (
            "recvfrom(3, 0x7f, 99, 0, NULL, NULL) = -1 ECONNRESET (x) <0.1>",
            "received",
            "could not receive: connection reset by peer (ECONNRESET)",
        ),
        (
            "recvfrom(3, 0x7f, 99, 0, NULL, NULL) = -1 EAGAIN (x) <5.0>",
            "waited",
            "nothing for 5.00 s: no data was there (EAGAIN)",
        ),
        (
            "poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.0>",
            "waited",
            "nothing for 5.00 s: its limit of 5.00 s ran out (poll)",
        ),
        (
            "poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout)",
            "waited",
            "nothing for 5.00 s: its limit of 5.00 s ran out (poll)",
        ),
        (
            "getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0 <0.1>",
            "received",
            "its connect failed: connection refused (ECONNREFUSED)",
        ),
    ],
)
def test_one_call(line: str, direction: str, text: str) -> None:
    assert told(line) == Told("job", direction, text)


def test_what_a_protocol_says_of_it() -> None:
    sent = connects("0 <0.01>") + asks("GET /rows HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
    refusal = '9 1.2 recvfrom(3, "HTTP/1.1 500 No\\r\\nContent-Length: 0\\r\\n\\r\\n", 999, 0, NULL, NULL) = 38 <0.1>\n'
    words = '9 1.3 write(2, "HTTP Error 500\\n", 15) = 15 <0.1>\n'
    analysis = analyze([Input("log", full_trace(sent + refusal + words + FAIL).encode().splitlines(keepends=True))])
    assert [line.told for line in analysis.findings[0].lines] == [
        "sent GET /rows (31 bytes)",
        "received 500 No (38 bytes)",
        'said: "HTTP Error 500"',
        "ended with exit status 1",
    ]


@pytest.mark.parametrize("cause", sorted(RULES))
def test_the_proof_of_every_rule_is_told_or_shown(cause: str) -> None:
    """What has no words is the call itself; nothing is empty, nothing of several lines."""
    lines = full_trace(RULES[cause].fires).encode().splitlines(keepends=True)
    for finding in analyze([Input("log", lines)]).findings:
        for line in finding.lines:
            assert line.text.strip()
            assert "\n" not in line.told
            assert line.raw


def lines_of(log: str, cause: str) -> list[str]:
    """The evidence of the first finding of that cause, in words."""
    analysis = analyze([Input("log", full_trace(log).encode().splitlines(keepends=True))])
    return [line.told for line in next(f for f in analysis.findings if f.cause == cause).lines]


def test_waits_in_a_row_are_told_as_one() -> None:
    polls = "".join(f"9 {at}.2 poll([{{fd=3, events=POLLIN}}], 1, 1000) = 0 (Timeout) <1.0>\n" for at in range(1, 5))
    request = asks(r"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    told = lines_of(
        connects("0 <0.01>", 80) + request + polls + "9 5.2 close(3) = 0 <0.1>\n9 5.3 +++ exited with 1 +++",
        "read-timeout",
    )
    assert told[1:3] == [
        "nothing came: 4 waits, 4.00 s in all (poll)",
        "the last of these waits: its limit of 1.00 s ran out (poll)",
    ]


def test_a_wait_to_send_is_no_wait_for_data() -> None:
    assert "could not send for 5.00 s: its limit of 5.00 s ran out (poll)" in lines_of(
        RULES["send-blocked"].fires, "send-blocked"
    )


def test_a_call_that_failed_is_told_without_its_arguments() -> None:
    assert lines_of(RULES["bind-conflict"].fires, "bind-conflict") == [
        "could not take the local address 0.0.0.0:8080: address already in use (EADDRINUSE)"
    ]
    assert lines_of(RULES["fd-exhaustion"].fires, "fd-exhaustion") == ["socket failed: too many open files (EMFILE)"]


def test_a_line_that_was_written_letter_by_letter_is_one() -> None:
    words = "SSL: certificate expired"
    letters = "".join(f'9 2.{at:02} write(2, "{letter}", 1) = 1 <0.001>\n' for at, letter in enumerate(words))
    alert = "".join(RULES["tls-error"].fires.splitlines(keepends=True)[:-1])
    log = alert + letters + '9 2.9 write(2, "\\n", 1) = 1 <0.1>\n9 3.0 +++ exited with 1 +++'
    assert f'said: "{words}"' in lines_of(log, "tls-error")


def test_what_nobody_can_read_is_counted_only() -> None:
    assert told(r'recvfrom(3, "\1\2\300\377", 99, 0, NULL, NULL) = 4 <0.1>').text == "received 4 bytes (binary)"
