"""Logs of one fault each and what must be said of them: the cases that a rule's own two examples do not hold."""

from __future__ import annotations

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze

_TO = '{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("192.0.2.7")}, 16'
_TCP = "9 1.0 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>"
_CONNECT = f"9 1.1 connect(3, {_TO % 7002}) = 0 <0.001>"
_WEB = f"9 1.1 connect(3, {_TO % 80}) = 0 <0.001>"
_ASK = '9 1.2 sendto(3, "GET /rows HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 31, 0, NULL, 0) = 31 <0.0001>'
_PART = '9 1.3 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 90\\r\\n\\r\\nabc", 4096, 0, NULL, NULL) = 43 <0.01>'
_END = '9 1.4 recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.01>'
START = 1_700_000_000
_READS = '9 0.5 read(0, "", 4096) = 0 <0.0001>'
_FAILS, _ENDS = "9 8.0 +++ exited with 3 +++", "9 8.0 +++ exited with 0 +++"
_QUERY = r'"\22\64\1\0\0\1\0\0\0\0\0\0\3own\0\0\1\0\1"'
_NO = r'"\22\64\201\203\0\1\0\0\0\0\0\0\3own\0\0\1\0\1"'
_PEER, _SITE = "192.0.2.7:7002", "192.0.2.7:80"

LOGS: dict[str, tuple[list[str], str, str | None]] = {
    "SO_SNDTIMEO returns what it had sent": (
        [_TCP, _CONNECT, '9 1.2 setsockopt(3, SOL_SOCKET, SO_SNDTIMEO, {tv_sec=2, tv_usec=0}, 16) = 0 <0.1>',
         '9 1.3 sendto(3, "xxxx"..., 1048576, 0, NULL, 0) = 69504 <2.024>', _FAILS], "send-blocked", _PEER),
    "a signal ends a send that waits": (
        [_TCP, _CONNECT, '9 1.3 write(3, "xxxx"..., 200000) = 69504 <4.012>',
         "9 5.4 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---", "9 5.5 +++ killed by SIGTERM +++"],
        "send-blocked", _PEER),
    "a short send whose rest follows": (
        [_TCP, _CONNECT, '9 1.3 write(3, "xxxx"..., 200000) = 69504 <0.5>', '9 1.9 write(3, "xxxx"..., 130496) = 130496 <0.01>',
         _ENDS], "healthy", None),
    "MSG_WAITALL comes back short: the end": (
        [_TCP, _CONNECT, '9 1.2 sendto(3, "READ\\n", 5, 0, NULL, 0) = 5 <0.0001>',
         '9 1.3 recvfrom(3, "\\0\\0\\2\\0", 4, MSG_WAITALL, NULL, NULL) = 4 <0.0001>',
         '9 1.4 recvfrom(3, "hello", 512, MSG_WAITALL, NULL, NULL) = 5 <0.001>',
         '9 1.5 write(2, "short record\\n", 13) = 13 <0.1>',
         "9 1.6 +++ exited with 3 +++"], "truncated-response", _PEER),
    "no greeting, but the end": (
        [_READS, _TCP, _CONNECT, '9 1.2 recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.1>', _FAILS], "empty-reply", _PEER),
    "a probe of the port": (
        [_READS, _TCP, _CONNECT, '9 1.2 recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <0.1>', _ENDS], "healthy", None),
    "a last word that needs no answer": (
        [_TCP, _CONNECT, '9 1.2 sendto(3, "A\\n", 2, 0, NULL, 0) = 2 <0.0001>',
         '9 1.3 recvfrom(3, "OK\\n", 9, 0, NULL, NULL) = 3 <0.1>',
         '9 1.4 sendto(3, "BYE\\n", 4, 0, NULL, 0) = 4 <0.0001>', '9 1.5 recvfrom(3, "", 9, 0, NULL, NULL) = 0 <0.1>', _ENDS],
        "healthy", None),
    "reset before the connect was asked about": (
        [_TCP, f"9 1.1 connect(3, {_TO % 80}) = -1 EINPROGRESS (Operation now in progress) <0.0001>",
         "9 1.2 poll([{fd=3, events=POLLOUT}], 1, 60000) = 1 ([{fd=3, revents=POLLOUT|POLLERR|POLLHUP}]) <0.01>",
         f"9 1.3 connect(3, {_TO % 80}) = -1 ECONNRESET (Connection reset by peer) <0.0001>", _FAILS], "reset-by-peer", _SITE),
    "a part taken for the whole": ([_READS, _TCP, _WEB, _ASK, _PART, _END, _ENDS], "truncated-response", _SITE),
    "a part that the job noticed and made good": (
        [_READS, _TCP, _WEB, _ASK, _PART, _END, "9 1.5 close(3) = 0 <0.1>",
         *(line.replace("9 1.", "9 2.") for line in (_TCP, _WEB, _ASK)),
         '9 2.3 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nabc", 4096, 0, NULL, NULL) = 42 <0.01>', _ENDS],
        "healthy", None),
    "another protocol, and it still waits": (
        [_READS, _TCP, _CONNECT.replace("7002", "22"), '9 1.2 write(3, "SSH-2.0-OpenSSH_9.2p1\\r\\n", 23) = 23 <0.001>',
         '9 1.3 read(3, "220 mx.example ESMTP ready\\r\\n", 4096) = 28 <0.001>', "9 1.4 read(3, <unfinished ...>",
         "8 60.0 +++ exited with 0 +++"], "protocol-mismatch", "192.0.2.7:22"),
    "its own name is unknown, and what it did then is hidden": (
        ['9 1.0 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 3 <0.0001>', f"9 1.1 connect(3, {_TO % 53}) = 0 <0.0001>",
         f"9 1.2 sendto(3, {_QUERY}, 21, MSG_NOSIGNAL, NULL, 0) = 21 <0.001>",
         f"9 1.3 recvfrom(3, {_NO}, 2048, 0, NULL, NULL) = 21 <0.001>",
         "9 1.4 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 4 <0.0001>", f"9 1.5 connect(4, {_TO % 389}) = 0 <0.0001>",
         "9 1.6 shutdown(4, SHUT_RDWR) = 0 <0.0001>", "9 1.7 +++ exited with 49 +++"], "inconclusive", None),
    "an answer that is cut by the end of the log": (
        [_READS, _TCP, _WEB, _ASK, _PART, "9 1.4 poll([{fd=3"], "inconclusive", None),
    "urllib never unpacks, and its words are hidden": (
        [_TCP, _WEB, _ASK.replace("Host: a", "Accept-Encoding: gzip\\r\\nUser-Agent: Python-urllib/3.11").replace("31", "82"),
         '9 1.3 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Encoding: gzip\\r\\n'
         'Content-Length: 4\\r\\n\\r\\n\\37\\213\\10\\0", 99, 0, NULL, NULL) = 65 <0.01>',
         "9 1.4 +++ exited with 1 +++"], "encoded-body", _SITE),
    "an end of its own is a limit, not a hang": (
        [_TCP, _WEB, _ASK, "9 9.0 +++ exited with 1 +++"], "read-timeout", _SITE),
    "a program that wanted to know whether a name is free": (
        ['9 1.0 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 3 <0.0001>', f"9 1.1 connect(3, {_TO % 53}) = 0 <0.0001>",
         f"9 1.2 sendto(3, {_QUERY}, 21, MSG_NOSIGNAL, NULL, 0) = 21 <0.001>",
         f"9 1.3 recvfrom(3, {_NO}, 2048, 0, NULL, NULL) = 21 <0.001>", _ENDS], "healthy", None),
    "the job's own limit ended a helper, and the job ended well": (
        ["7 0.1 clone(child_stack=NULL, flags=SIGCHLD) = 8 <0.1>", "8 0.2 vfork() = 9 <0.1>", _TCP, _WEB, _ASK, _PART,
         "8 3.1 kill(9, SIGTERM) = 0 <0.1>",
         "9 1.4 poll([{fd=3, events=POLLIN}], 1, -1) = ? ERESTART_RESTARTBLOCK (Interrupted by signal) <1.8>",
         "9 3.2 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=8, si_uid=0} ---",
         "9 3.3 +++ killed by SIGTERM +++", "8 3.4 +++ exited with 124 +++", "7 3.5 +++ exited with 0 +++"], "healthy", None),
    "what closes its connection while it dies still hung": (
        [_READS, _TCP, _CONNECT, '9 1.2 sendto(3, "Q\n", 2, 0, NULL, 0) = 2 <0.0001>',
         "9 1.3 poll([{fd=3, events=POLLIN}], 1, -1) = ? ERESTART_RESTARTBLOCK (Interrupted by signal) <4.6>",
         "9 5.9 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---", "9 6.0 close(3) = 0 <0.1>",
         "9 6.1 +++ killed by SIGTERM +++"], "hung-read", _PEER),
    "a refusal that the program repeats": (
        [_READS, _TCP, _CONNECT, '9 1.2 sendto(3, "Q\n", 2, 0, NULL, 0) = 2 <0.0001>',
         '9 1.3 read(3, "ERR account locked by auditor\n", 4096) = 30 <0.1>',
         '9 1.4 write(2, "ledger says: ERR account locked by auditor\n", 43) = 43 <0.1>', "9 1.5 +++ exited with 3 +++"],
        "server-error-reply", _PEER),
    "TLS whose answer the log hides": (
        ['9 0.5 execve("/usr/bin/python3", ["python3"], 0x1 /* 1 var */) = 0 <0.1>', _TCP, _WEB.replace("(80)", "(465)"),
         '9 1.2 write(3, "\26\3\1\0\5\1\0\0\1\3", 10) = 10 <0.0001>',
         '9 1.3 write(2, "ssl.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number\n", 63) = 63 <0.1>',
         "9 1.4 close(3) = 0 <0.1>", "9 1.5 +++ exited with 1 +++"], "tls-error", "192.0.2.7:465"),
    "chunks without sizes": (
        [_READS, _TCP, _WEB, _ASK,
         '9 1.3 recvfrom(3, "HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n'
         'zz\\r\\nhi\\r\\n", 99, 0, NULL, NULL) = 55 <0.01>',
         _END, "9 1.5 +++ exited with 1 +++"], "framing-error", _SITE),
    "a send under way when strace came and when it left": (
        ['9 1.0 write(3<TCP:[192.0.2.9:4000->192.0.2.7:7002]>, "xxxx"..., 200000 <detached ...>'], "send-blocked", _PEER),
    "failing calls only, of a job that still runs": (
        [f"9 1.1 connect(3, {_TO % 80}) = -1 EINPROGRESS (Operation now in progress) <0.0001>",
         "9 1.2 recvfrom(3, 0x5, 9, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.0001>"],
        "inconclusive", None),
    "children that were not traced, of a job that still runs": (
        ['9 1.0 execve("/bin/sh", ["sh"], 0x1 /* 1 var */) = 0 <0.1>',
         "9 1.1 clone(child_stack=NULL, flags=SIGCHLD) = 10 <0.1>",
         "9 1.2 close(4) = 0 <0.1>", "9 1.3 wait4(-1, "], "inconclusive", None),
}  # fmt: skip


def judged(lines: list[str]) -> Analysis:
    """The analysis of lines `TID SECONDS CALL`."""
    text = [line.split(" ", 2) for line in lines]
    return analyze([Input("log", [f"{tid} {START + float(at):.6f} {call}\n".encode() for tid, at, call in text])])


@pytest.mark.parametrize(("lines", "cause", "peer"), LOGS.values(), ids=LOGS)
def test_what_is_said(lines: list[str], cause: str, peer: str | None) -> None:
    """The verdict's cause and culprit."""
    verdict = judged(lines).verdict
    assert (verdict.cause, verdict.peer) == (cause, peer), verdict.headline


def test_a_torn_log_is_not_healthy() -> None:
    """Its last line has no end, and nobody was blocked in a call; one that stops between two lines lacks the job's end, too."""
    for at in (f"{START}.000000 ", ""):  # with and without a clock
        text = f'9 {at}connect(3, {_TO % 80}) = 0 <0.1>\n9 {at}close(3) = 0 <0.1>\n9 {at}write(2, "Trace'
        for log, how in ((text, "breaks off"), (text[: text.rindex("9 ")], "ends before")):
            verdict = analyze([Input("log", log.encode().splitlines(keepends=True))]).verdict
            assert verdict.cause == "inconclusive"
            assert how in verdict.headline


_THREAD = "clone3({flags=CLONE_VM|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD, child_tid=0x7f}strace: Process 11 attached\n"


def test_threads_of_a_log_on_the_terminal() -> None:
    """`Process N attached` stands in the middle of the call that made the thread; the first process gets its name late."""
    text = (
        f'execve("/usr/bin/java", ["java"], 0x1 /* 3 vars */) = 0\n{_THREAD} => {{parent_tid=[11]}}, 88) = 11\n'
        f"[pid    11] connect(3, {_TO % 80}) = 0\n"
        "[pid    10] exit_group(1) = ?\n[pid    11] +++ exited with 1 +++\n+++ exited with 1 +++\n"
    )
    processes = analyze([Input("log", text.encode().splitlines(keepends=True))]).evidence.processes
    assert [(p.pid, p.parent, p.command, p.exit_code) for p in processes.values()] == [(10, None, "java", 1)]


def test_a_number_that_a_thread_took_again_is_another_socket() -> None:
    """With failing calls only, nothing but the annotation tells that descriptor 3 is no longer the resolver's."""
    text = (
        '10 1.0 connect(3<UNIX-STREAM:[77]>, {sa_family=AF_UNIX, sun_path="/run/nscd/socket"}, 110)'
        " = -1 ENOENT (No such file or directory) <0.1>\n"
        f"9 1.5 connect(3<TCP:[78]>, {_TO % 80}) = -1 EINPROGRESS (x) <0.1>\n9 1.6 +++ exited with 1 +++\n"
    )
    analysis = analyze([Input("log", text.encode().splitlines(keepends=True))])
    assert not [f for f in analysis.findings if f.cause == "unix-socket-missing"]


def test_of_what_was_said_before_the_trace_nothing_is_claimed() -> None:
    """A connection that was open already may have carried a request; only one that the log opened surely has not."""
    wait = (
        "9 1.2 recvfrom(3<TCP:[10.0.0.1:50000->10.0.0.2:80]>, 0x55d0, 4096, 0, NULL, NULL) = ? ERESTARTSYS (x) <60.0>\n"
    )
    end = "9 61.3 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1} ---\n9 61.4 +++ killed by SIGTERM +++\n"
    opened = (
        '9 1.0 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("10.0.0.2")}, 16) = 0 <0.01>\n'
    )
    before, whole = ((text + wait + end).encode().splitlines(keepends=True) for text in ("", opened))
    headlines = [analyze([Input("log", lines)]).verdict.headline for lines in (before, whole)]
    assert "nothing had been sent either way" in headlines[1]
    assert "nothing had been sent either way" not in headlines[0]
    assert "before the trace is not in the log" in headlines[0]
