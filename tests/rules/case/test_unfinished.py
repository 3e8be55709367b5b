"""What looks like a failure and is none, or fails in a way that only the order and the counts of calls tell."""

from __future__ import annotations

import re

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze

_TO = '{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("192.0.2.7")}, 16'
_SITE, _PEER = "192.0.2.7:80", "192.0.2.7:7003"
_ASK = '"GET /rows HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 31'
_OK = '"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi", 4096'
_TERM = "--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=%d, si_uid=0} ---"


def judged(*lines: str) -> Analysis:
    """The analysis of a log of these lines, each with a thread and seconds."""
    text = "".join(re.sub(r"^(\d+) (\d+)\.(\d+)", _clock, line) + "\n" for line in lines)
    return analyze([Input("log", text.encode().splitlines(keepends=True))])


def _clock(found: re.Match[str]) -> str:
    return f"{found[1]} {1_700_000_000 + int(found[2])}.{found[3]:0<6}"


def opened(port: int, fd: int = 3, tid: int = 9, at: str = "1.0") -> list[str]:
    """A connection that stands."""
    return [
        f"{tid} {at} socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = {fd} <0.0001>",
        f"{tid} {at}1 connect({fd}, {_TO % port}) = 0 <0.001>",
    ]


@pytest.mark.parametrize(
    ("parent", "outcome", "cause"), [(0, "degraded", "recovered-error"), (7, "failed", "connect-refused")]
)
def test_a_childs_failure_that_the_job_let_pass_is_no_failed_job(parent: int, outcome: str, cause: str) -> None:
    """`curl URL || echo down`: the child failed, the job did not."""
    verdict = judged(
        "8 0.1 clone(child_stack=NULL, flags=SIGCHLD) = 9 <0.0001>",
        "9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>",
        f"9 1.1 connect(3, {_TO % 80}) = -1 ECONNREFUSED (Connection refused) <0.001>",
        "9 1.2 +++ exited with 7 +++",
        f"8 1.3 +++ exited with {parent} +++",
    ).verdict
    assert (verdict.outcome, verdict.cause) == (outcome, cause)


_A = r'"\22\64\1\0\0\1\0\0\0\0\0\0\3own\0\0\1\0\1", 21'
_AAAA = r'"\22\65\1\0\0\1\0\0\0\0\0\0\3own\0\0\34\0\1", 21'
_ADDRESS = r'"\22\64\201\200\0\1\0\1\0\0\0\0\3own\0\0\1\0\1\300\f\0\1\0\1\0\0\0<\0\4\300\0\2\7", 512'
_NODATA = r'"\22\65\201\200\0\1\0\0\0\0\0\0\3own\0\0\34\0\1", 512'


def looked_up(fd: int, at: str, question: str, answer: str, size: int) -> list[str]:
    """One question on a socket of its own."""
    return [
        f"9 {at}0 socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) = {fd} <0.0001>",
        f"9 {at}1 connect({fd}, {_TO % 53}) = 0 <0.0001>",
        f"9 {at}2 write({fd}, {question}) = 21 <0.0001>",
        f"9 {at}3 read({fd}, {answer}) = {size} <0.0001>",
        f"9 {at}4 close({fd}) = 0 <0.0001>",
    ]


def test_nodata_for_one_type_is_normal_when_another_has_an_address() -> None:
    """A and AAAA asked for on two sockets, the second after the first was answered; killed for another reason."""
    address, nodata = looked_up(4, "0.1", _A, _ADDRESS, 37), looked_up(5, "0.2", _AAAA, _NODATA, 21)
    died = [f"9 9.0 {_TERM % 1}", "9 9.1 +++ killed by SIGTERM +++"]
    for both in ([*address, *nodata], [*nodata, *address]):
        assert "dns-error" not in {f.cause for f in judged(*both, *died).findings}
    assert judged(*nodata, *died).verdict.cause == "dns-error"


@pytest.mark.parametrize(("wait", "cause"), [("epoll_wait(5,", "inconclusive"), ("recvfrom(3,", "hung-read")])
def test_an_event_loop_does_not_wait_for_a_pooled_connection(wait: str, cause: str) -> None:
    """Between two requests an HTTP server is silent by right; only a read of that very socket waits for it."""
    analysis = judged(
        *opened(80), "9 1.2 epoll_create1(0) = 5 <0.0001>",
        "9 1.3 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data=0x3}) = 0 <0.0001>",
        f"9 1.4 sendto(3, {_ASK}, 0, NULL, 0) = 31 <0.0001>", f"9 1.5 recvfrom(3, {_OK}, 0, NULL, NULL) = 40 <0.0001>",
        f"9 1.6 {wait} <unfinished ...>", f"9 9.0 {_TERM % 1}", "9 9.1 +++ killed by SIGTERM +++",
    )  # fmt: skip
    accused = [f for f in analysis.findings if f.cause == "hung-read"]
    assert bool(accused) == (cause == "hung-read")


@pytest.mark.parametrize(("code", "cause"), [(28, "read-timeout"), (0, "healthy")])
def test_a_stream_that_only_the_peer_speaks_on_is_unfinished_until_its_end(code: int, cause: str) -> None:
    """As an FTP data connection: some bytes, then silence in slices of poll, given up at once with an error."""
    verdict = judged(
        *opened(7003), '9 1.2 recvfrom(3, "a;b\\n1;2\\n", 4096, 0, NULL, NULL) = 8 <0.0001>',
        "9 1.3 poll([{fd=3, events=POLLIN}], 1, 1000) = 0 (Timeout) <1.0002>",
        "9 2.4 poll([{fd=3, events=POLLIN}], 1, 1000) = 0 (Timeout) <1.0002>",
        "9 3.5 close(3) = 0 <0.0001>", f"9 3.6 +++ exited with {code} +++",
    ).verdict  # fmt: skip
    assert verdict.cause == cause
    assert verdict.peer == (_PEER if code else None)


@pytest.mark.parametrize(
    ("asked", "came", "cause"), [(1024, 10, "framing-error"), (4096, 10, "inconclusive"), (10, 10, "")]
)
def test_reads_of_exact_size_give_a_frame_away(asked: int, came: int, cause: str) -> None:
    """Four bytes asked for and got, then as many as they say, and the end comes first. A buffer's size says nothing."""
    length = "\\0\\0\\4\\0" if asked != 10 else "\\0\\0\\0\\n"
    verdict = judged(
        "9 0.5 execve(\"/job\", [\"job\"], 0x1 /* 3 vars */) = 0 <0.001>", *opened(7003),
        '9 1.2 sendto(3, "GET\\n", 4, 0, NULL, 0) = 4 <0.0001>',
        f'9 1.3 recvfrom(3, "{length}", 4, 0, NULL, NULL) = 4 <0.0001>',
        f'9 1.4 recvfrom(3, "short body", {asked}, 0, NULL, NULL) = {came} <0.0001>',
        f'9 1.5 recvfrom(3, "", {asked - came or 4}, 0, NULL, NULL) = 0 <0.0001>',
        "9 1.6 close(3) = 0 <0.0001>", "9 1.7 +++ exited with 101 +++",
    ).verdict  # fmt: skip
    assert (verdict.cause == "framing-error") == (cause == "framing-error"), verdict.headline


def test_an_answer_that_came_before_the_upload_was_done() -> None:
    """417 to `Expect: 100-continue`: the request stands after its own answer, and is no later one."""
    put = '"PUT /up HTTP/1.1\\r\\nHost: a\\r\\nTransfer-Encoding: chunked\\r\\nExpect: 100-continue\\r\\n\\r\\n", 79'
    verdict = judged(
        *opened(80), f"9 1.2 sendto(3, {put}, 0, NULL, 0) = 79 <0.0001>",
        '9 1.3 recvfrom(3, "HTTP/1.1 417 No\\r\\nContent-Length: 0\\r\\n\\r\\n", 4096, 0, NULL, NULL) = 38 <0.01>',
        "9 1.4 close(3) = 0 <0.0001>", "9 1.5 +++ exited with 22 +++",
    ).verdict  # fmt: skip
    assert (verdict.cause, verdict.peer) == ("http-error-status", _SITE)


def test_go_and_rust_parsers_complaints_are_known() -> None:
    """encoding/json and serde_json do not say JSON in each sentence."""
    page = "<html>\\n<head><title>503</title></head>\\n<body>\\nx</body></html>\\n"
    answer = f"HTTP/1.1 200 OK\\r\\nContent-Type: text/html\\r\\nContent-Length: 62\\r\\n\\r\\n{page}"
    for words in ("invalid character '<' looking for beginning of value", "expected value at line 1 column 1"):
        verdict = judged(
            *opened(80), f"9 1.2 sendto(3, {_ASK}, 0, NULL, 0) = 31 <0.0001>",
            f'9 1.3 recvfrom(3, "{answer}", 4096, 0, NULL, NULL) = 127 <0.0001>',
            f'9 1.4 write(2, "job: {words}\\n", {len(words) + 6}) = {len(words) + 6} <0.0001>',
            "9 1.5 +++ exited with 1 +++",
        ).verdict  # fmt: skip
        assert verdict.cause == "html-instead-of-json", verdict.headline


def test_a_signals_own_words_tell_who_sent_it() -> None:
    """timeout(1) signals its group, and -e trace=network hides the kill(2) anyway: si_pid names it."""
    stream = '"HTTP/1.1 200 OK\\r\\n\\r\\ndata: 1\\n\\n", 4096'
    lines = [
        "7 0.1 clone(child_stack=NULL, flags=SIGCHLD) = 8 <0.0001>",
        "8 0.2 clone(child_stack=NULL, flags=SIGCHLD) = 9 <0.0001>",
        *opened(80), f"9 1.2 sendto(3, {_ASK}, 0, NULL, 0) = 31 <0.0001>",
        f"9 1.3 recvfrom(3, {stream}, 0, NULL, NULL) = 28 <0.0001>",
        '9 2.3 recvfrom(3, "data: 2\\n\\n", 4096, 0, NULL, NULL) = 9 <0.9>',
        '9 3.3 recvfrom(3, "data: 3\\n\\n", 4096, 0, NULL, NULL) = 9 <0.9>',
        "9 3.4 %s", "9 3.5 +++ killed by SIGTERM +++", "8 3.6 +++ exited with 124 +++", "7 3.7 +++ exited with 0 +++",
    ]  # fmt: skip
    for sender, outcome in ((8, {"healthy"}), (1, {"failed", "degraded", "hung"})):
        verdict = judged(*(line % (_TERM % sender) if "%s" in line else line for line in lines)).verdict
        assert verdict.outcome in outcome, verdict.headline


def test_without_durations_a_call_that_a_signal_broke_lasted_until_it() -> None:
    """An alarm in a read, then the same question on a new connection: a retry that worked."""
    plain = [line.partition(" <")[0] for line in [*opened(7003), *opened(7003, at="3.2")]]
    asked = ["9 1.2 alarm(2) = 0", '9 1.3 write(3, "Q\\n", 2) = 2']
    verdict = judged(
        "9 0.5 execve(\"/job\", [\"job\"], 0x1 /* 3 vars */) = 0", *plain[:2], *asked,
        "9 1.4 read(3, 0x55e79ae66e20, 99) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
        "9 3.4 --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---",
        "9 3.41 rt_sigreturn({mask=[]}) = -1 EINTR (Interrupted system call)", "9 3.42 close(3) = 0",
        *(line.replace("9 3.2", "9 3.5") for line in plain[2:]), '9 3.6 write(3, "Q\\n", 2) = 2',
        '9 3.7 read(3, "42\\n", 99) = 3', "9 3.8 close(3) = 0", "9 3.9 +++ exited with 0 +++",
    ).verdict  # fmt: skip
    assert (verdict.outcome, verdict.cause) == ("healthy", "recovered-error"), verdict.headline


def test_without_durations_a_question_is_no_later_than_its_answer() -> None:
    """One thread asks and is silent since, another receives: the request belongs to the answer."""
    thread = "clone3({flags=CLONE_VM|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD}, 88) = 10"
    verdict = judged(
        f"9 0.5 {thread}", *(line.partition(" <")[0] for line in opened(80)), f"10 1.2 write(3, {_ASK}) = 31",
        '9 1.3 read(3, "HTTP/1.1 404 Not Found\\r\\nContent-Length: 2\\r\\n\\r\\nno", 4096) = 47',
        '9 1.4 write(2, "status 404 Not Found\\n", 21) = 21', "9 1.5 exit_group(1) = ?",
        "10 1.6 +++ exited with 1 +++", "9 1.7 +++ exited with 1 +++",
    ).verdict  # fmt: skip
    assert (verdict.cause, verdict.peer) == ("http-error-status", _SITE), verdict.headline


def test_nodata_beside_an_answer_that_the_log_lacks_says_nothing() -> None:
    """grep dropped the `resumed` line of the read that may have brought the address."""
    (*asked, _read, closed), nodata = looked_up(4, "0.1", _A, _ADDRESS, 37), looked_up(5, "0.2", _AAAA, _NODATA, 21)
    lost = [*asked, "9 0.13 read(4,  <unfinished ...>", closed]
    died = [f"9 9.0 {_TERM % 1}", "9 9.1 +++ killed by SIGTERM +++"]
    assert "dns-error" not in {f.cause for f in judged(*lost, *nodata, *died).findings}
    assert "dns-timeout" not in {f.cause for f in judged(*lost, *died).findings}


HELPER = "10 2.0 futex(0x7f1, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 0, NULL, FUTEX_BITSET_MATCH_ANY <unfinished ...>"
THREAD = "9 1.5 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) = 10 <0.001>"


@pytest.mark.parametrize(("last", "outcome"), [("59.8", "inconclusive"), ("20.0", "hung")])
def test_a_helper_thread_that_rests_is_no_hang_while_another_works(last: str, outcome: str) -> None:
    """A log that ends while a pool's thread is idle: the process moved bytes until the end, or has not for long."""
    beats = [f'9 {at} sendto(3, "beat", 4, 0, NULL, 0) = 4 <0.001>' for at in ("10.0", last)]
    analysis = judged(*opened(7003), THREAD, HELPER, *beats, '9 60.0 write(1, "x", 1) = 1 <0.001>')
    assert analysis.verdict.outcome == outcome, analysis.verdict
