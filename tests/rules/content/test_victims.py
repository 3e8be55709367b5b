"""Who is blamed for an answer: the receiver, the reader of its pipe, its shell; and who is left alone."""

from __future__ import annotations

import pytest

from tests.rules.http_job import HTML, ask, blamed, connect, forked, got, judged, left, wrote


def test_the_crash_is_in_the_reader_of_the_pipe() -> None:
    """`curl | jq`: one finding, of the page and of jq's complaint, which is quoted and shown as evidence."""
    complaint = "parse error: Invalid numeric literal at line 1, column 10"
    analysis = judged(
        '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>',
        forked(9, 10, 1.1, "curl"), forked(9, 11, 1.2, "jq"),
        connect(10, 1.3), ask(10, 1.4), got(10, 1.5, "502 Bad Gateway", HTML, more="Server: awselb/2.0\\r\\n"), left(10, 1.6),
        wrote(11, 1.7, complaint), left(11, 1.8, 4), left(9, 1.9, 4),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant, finding.pid, finding.command) == (
        "html-instead-of-json",
        "status-502",
        11,
        "jq",
    )
    assert finding.peer == "192.0.2.7:80"
    assert complaint in finding.summary
    assert any(complaint in line.text for line in finding.lines)
    assert analysis.verdict.cause == "html-instead-of-json"
    assert analysis.verdict.outcome == "failed"


def test_a_shell_that_looks_at_the_result_fails_for_its_child() -> None:
    """curl ended well; the script compared the status that it printed."""
    analysis = judged(
        '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>', forked(9, 10, 1.1, "curl"),
        connect(10, 1.3), ask(10, 1.4), got(10, 1.5, "503 Service Unavailable", "busy"), left(10, 1.6),
        wrote(9, 1.7, "status is 503, not 200"), left(9, 1.9, 5),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.pid) == ("http-error-status", 9)


def test_a_failure_that_its_parent_shrugs_off_is_told_and_accuses_nobody() -> None:
    """`curl -f ...; next`, or `|| true`: the log does not show which."""
    analysis = judged(
        '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>', forked(9, 10, 1.1, "curl"),
        connect(10, 1.3), ask(10, 1.4), got(10, 1.5, "404 Not Found", "none"),
        wrote(10, 1.6, "curl: (22) The requested URL returned error: 404"), left(10, 1.6, 22), left(9, 1.9, 0),
    )  # fmt: skip
    assert not blamed(analysis)
    assert (analysis.verdict.outcome, analysis.verdict.cause) == ("degraded", "recovered-error")


def test_words_from_before_the_answer_are_not_of_it() -> None:
    """What a program complained of earlier is not quoted for what it met later."""
    analysis = judged(
        wrote(10, 1.1, "ValueError: bad option in rows.ini"), connect(10, 1.3), ask(10, 1.4),
        got(10, 1.5, "200 OK", HTML), wrote(10, 1.6, "JSONDecodeError: Expecting value"), left(10, 1.8, 1),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert "Expecting value" in finding.summary
    assert "rows.ini" not in finding.summary


def test_a_log_of_network_calls_only_has_no_family_tree() -> None:
    """The first process outlives the others; that it failed is all that is known."""
    analysis = judged(
        "9 1.0 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=8, si_uid=0, si_status=0} ---",
        connect(10, 1.3), ask(10, 1.4), got(10, 1.5, "200 OK", HTML), "10 1.6 +++ exited with 0 +++",
        "9 1.9 +++ exited with 4 +++",
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.pid) == ("html-instead-of-json", 9)


TOLERATED = [
    '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>', forked(9, 10, 1.1, "curl"),
    connect(10, 1.3), ask(10, 1.4, "/marker"), got(10, 1.5, "404 Not Found", "none"),
]  # fmt: skip


@pytest.mark.parametrize("words", ["sh: 1: OUTDIR: parameter not set", "./convert: line 4: OUTDIR: unbound variable"])
def test_a_scripts_own_error_is_not_of_the_answer(words: str) -> None:
    assert not blamed(judged(*TOLERATED, left(10, 1.6), wrote(9, 2.7, words), left(9, 2.9, 2)))


def test_whether_something_is_there_may_be_the_question() -> None:
    """curl ended with 0, and a step that nothing connects with it failed without a word."""
    later = [forked(9, 11, 2.0, "cp"), left(11, 2.2, 1)]
    assert not blamed(judged(*TOLERATED, left(10, 1.6), *later, left(9, 2.9, 1)))
    assert blamed(judged(*TOLERATED, wrote(9, 1.7, "404: no marker"), left(10, 1.8), left(9, 2.9, 1)))


def test_what_the_receiver_prints_is_its_result() -> None:
    """`code=$(curl -w '%{http_code}' ...)`: the number says nothing of why a later step failed."""
    printed = '10 1.55 write(1<pipe:[7]>, "404", 3) = 3 <0.001>'
    later = [forked(9, 11, 2.0, "convert"), wrote(11, 2.1, "no colour space"), left(11, 2.2, 1)]
    assert not blamed(judged(*TOLERATED, printed, left(10, 1.6), *later, left(9, 2.9, 1)))


@pytest.mark.parametrize(("path", "blames"), [("/dev/null", False), ("/var/log/job.log", True)])
def test_a_check_of_which_nobody_was_to_hear_was_to_fail(path: str, blames: bool) -> None:
    """`gzip -t data 2>/dev/null || convert data`: it is convert that failed."""
    complaint = f'11 2.05 openat(AT_FDCWD, "{path}", O_WRONLY) = 3 <0.001>\n11 2.06 dup2(3, 2) = 2 <0.001>\n' + wrote(
        11, 2.1, "gzip: data: not in gzip format"
    )
    analysis = judged(
        '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>', forked(9, 10, 1.1, "curl"),
        connect(10, 1.3), ask(10, 1.4, "/data"), got(10, 1.5, "200 OK", "a;b;c"), left(10, 1.6),
        forked(9, 11, 2.0, "gzip"), complaint, left(11, 2.2, 1),
        forked(9, 12, 2.4, "convert"), wrote(12, 2.5, "no colour space"), left(12, 2.6, 1), left(9, 2.9, 1),
    )  # fmt: skip
    assert bool(blamed(analysis)) == blames


def test_a_file_that_cannot_be_opened_is_no_fault_of_the_answer() -> None:
    """The program tried JSON first, took it for CSV, and could not write its result."""
    trace = wrote(9, 1.6, "json.decoder.JSONDecodeError: Expecting value#").replace("#", "\\n")
    own = "FileNotFoundError: [Errno 2] No such file or directory: '/out/rows.csv'"
    fields = "Content-Type: text/csv\\r\\n"
    sound = [connect(9, 1.3), ask(9, 1.4, "/csv"), got(9, 1.5, "200 OK", "id;name\\n1;a\\n", more=fields)]
    assert not blamed(judged(*sound, trace, wrote(9, 1.7, own), left(9, 1.9, 1)))
    assert blamed(judged(*sound, trace, left(9, 1.9, 1)))


_OWN = 'sa_family=AF_INET, sin_port=htons(40001), sin_addr=inet_addr("127.0.0.1")'
_OTHER = 'sa_family=AF_INET, sin_port=htons(40002), sin_addr=inet_addr("127.0.0.1")'


def test_a_thread_that_wakes_its_loop_has_not_gone_on_to_another_peer() -> None:
    """Where there is no socketpair(2), event loops connect to a port of their own. AMQP 0-9-1 4.2.2: a server that does not
    speak the client's version answers with a protocol header of its own, and closes.
    """
    wake = '9 {} sendto(5, "X", 1, 0, NULL, 0) = 1 <0.001>'
    refused = [
        connect(9, 1.3, port=5672), '9 1.4 sendto(3, "AMQP\\0\\0\\t\\1", 8, 0, NULL, 0) = 8 <0.001>',
        '9 1.5 recvfrom(3, "AMQP\\0\\0\\t\\1", 4096, 0, NULL, NULL) = 8 <0.001>',
        '9 1.51 recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.001>',
    ]  # fmt: skip
    end = ["9 1.7 close(3) = 0 <0.001>", wrote(9, 1.8, "IncompatibleProtocolError"), left(9, 1.9, 1)]
    own = [
        "9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 4 <0.001>", f"9 1.01 bind(4, {{{_OWN}}}, 16) = 0 <0.001>",
        "9 1.02 listen(4, 128) = 0 <0.001>", f"9 1.1 connect(5, {{{_OWN}}}, 16) = 0 <0.001>",
        f"9 1.12 accept4(4, {{{_OTHER}}}, [16], SOCK_CLOEXEC) = 6 <0.001>", "9 1.2 close(4) = 0 <0.001>",
    ]  # fmt: skip
    (finding,) = blamed(judged(*own, *refused, wake.format(1.6), *end))
    assert (finding.cause, finding.variant, finding.peer) == ("server-error-reply", "amqp-version", "192.0.2.7:5672")
    elsewhere = judged(connect(9, 1.1, fd=5, address="192.0.2.8", port=7000), *refused, wake.format(1.6), *end)
    assert "192.0.2.7:5672" not in {finding.peer for finding in blamed(elsewhere)}
