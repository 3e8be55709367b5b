"""A verdict that cannot be told still says what to look at next, and accuses nobody."""

from __future__ import annotations

from systrace.model import Input, Verdict
from systrace.pipeline import analyze
from systrace.rules.pages import full_trace

BEGIN = (
    '9 1.0 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n'
    '9 1.1 sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27, 0, NULL, 0) = 27 <0.01>\n'
    "9 1.2 poll([{fd=3, events=POLLIN}], 1, 30000) = ? ERESTART_RESTARTBLOCK (Interrupted by signal) <2.0>\n"
)
END = '9 3.3 close(3) = 0 <0.01>\n9 3.4 write(2, "giving up\\n", 10) = 10 <0.01>\n9 3.5 +++ exited with 1 +++\n'


def judged(signal: str) -> Verdict:
    return analyze([Input("log", full_trace(BEGIN + signal + END).encode().splitlines(keepends=True))]).verdict


def test_a_signal_that_broke_a_wait_is_named() -> None:
    verdict = judged("9 3.2 --- SIGWINCH {si_signo=SIGWINCH, si_code=SI_KERNEL} ---\n")
    assert (verdict.outcome, verdict.cause, verdict.peer) == ("inconclusive", "inconclusive", None)
    assert "SIGWINCH interrupted its wait for 192.0.2.7:80 (EINTR) after 2.00 s" in verdict.headline
    assert 'Its last words: "giving up"' in verdict.headline


def test_a_deadline_is_no_interruption() -> None:
    assert judged("9 3.2 --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---\n").cause == "read-timeout"


def test_last_words_in_pieces_are_a_line() -> None:
    said = (
        '9 1.0 write(2, "cat: ", 5) = 5 <0.01>\n9 1.1 write(2, "/none", 5) = 5 <0.01>\n'
        '9 1.2 write(2, ": No such file", 14) = 14 <0.01>\n9 1.3 write(2, "\\n", 1) = 1 <0.01>\n9 1.5 +++ exited with 1 +++\n'
    )
    verdict = analyze([Input("log", full_trace(said).encode().splitlines(keepends=True))]).verdict
    assert 'Its last words: "cat: /none: No such file"' in verdict.headline


def test_a_step_that_failed_off_the_network_is_named() -> None:
    """`jq -e ... || exit 6`."""
    steps = (
        "8 1.0 clone(child_stack=NULL, flags=SIGCHLD) = 9 <0.01>\n"
        '9 1.1 execve("/usr/bin/jq", ["jq", "-e"], 0x7ffc) = 0 <0.01>\n9 1.2 +++ exited with {} +++\n'
        "8 1.9 +++ exited with 6 +++\n"
    )
    for status, named in ((1, True), (0, False)):
        lines = full_trace(steps.format(status)).encode().splitlines(keepends=True)
        headline = analyze([Input("log", lines)]).verdict.headline
        assert ("A step of it failed: jq[9] (exit status 1)." in headline) == named


def test_last_words_are_no_frame_of_a_trace() -> None:
    said = (
        '9 1.0 write(2, "Exception in thread: NullPointerException\\n\\tat K.main(K.java:8)\\n", 63) = 63 <0.01>\n'
        "9 1.5 +++ exited with 1 +++\n"
    )
    verdict = analyze([Input("log", full_trace(said).encode().splitlines(keepends=True))]).verdict
    assert 'Its last words: "Exception in thread: NullPointerException"' in verdict.headline
