"""What looks like a fault and is none: each of these logs is healthy, fallback or recovery, whatever errno is in it."""

from __future__ import annotations

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze

_PEER = '{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("192.0.2.%d")}, 16'
_TCP = "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = 3 <0.0001>"
_CONNECT = f"connect(3, {_PEER % (80, 7)}) = 0 <0.001>"
_ASK = 'sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27, 0, NULL, 0) = 27 <0.0001>'
_OK = 'recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok", 4096, 0, NULL, NULL) = 40 <0.001>'
_GOOD = [_TCP, _CONNECT, _ASK, _OK, "close(3) = 0 <0.0001>"]
_V6 = (
    "{sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), "
    'inet_pton(AF_INET6, "%s", &sin6_addr), sin6_scope_id=0}, 28'
)
_UNIX = '{sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110'
_QUERY = r'"\22\64\1\0\0\1\0\0\0\0\0\0\2db\7example\0\0\1\0\1"'
_ANSWER = r'"\22\64\201\200\0\1\0\1\0\0\0\0\2db\7example\0\0\1\0\1\300\f\0\1\0\1\0\0\0<\0\4\300\0\2\7"'

CONFUSERS = {
    "EINPROGRESS is how an asynchronous connect begins": [
        _TCP, f"connect(3, {_PEER % (80, 7)}) = -1 EINPROGRESS (Operation now in progress) <0.0001>",
        "poll([{fd=3, events=POLLOUT}], 1, 5000) = 1 ([{fd=3, revents=POLLOUT}]) <0.002>",
        "getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0 <0.0001>", _ASK, _OK,
    ],
    "EALREADY and EISCONN answer a second connect": [
        _TCP, f"connect(3, {_PEER % (80, 7)}) = -1 EINPROGRESS (Operation now in progress) <0.0001>",
        f"connect(3, {_PEER % (80, 7)}) = -1 EALREADY (Operation already in progress) <0.0001>",
        "poll([{fd=3, events=POLLOUT}], 1, 5000) = 1 ([{fd=3, revents=POLLOUT}]) <0.002>",
        f"connect(3, {_PEER % (80, 7)}) = -1 EISCONN (Transport endpoint is already connected) <0.0001>", _ASK, _OK,
    ],
    "EAGAIN on a non-blocking socket": [
        _TCP, _CONNECT, "fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0 <0.0001>", _ASK,
        "recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable) <0.0001>",
        "poll([{fd=3, events=POLLIN}], 1, 5000) = 1 ([{fd=3, revents=POLLIN}]) <0.01>", _OK,
    ],
    "nscd does not run": [
        "socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0) = 4 <0.0001>",
        f"connect(4, {_UNIX}) = -1 ENOENT (No such file or directory) <0.0001>", "close(4) = 0 <0.0001>", *_GOOD,
    ],
    "address sorting connects UDP sockets and sends nothing": [
        "socket(AF_INET6, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP) = 4 <0.0001>",
        f"connect(4, {_V6 % '2001:db8::7'}) = -1 ENETUNREACH (Network is unreachable) <0.0001>",
        "close(4) = 0 <0.0001>", *_GOOD,
    ],
    "the loopback's other family refuses": [
        "socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>",
        f"connect(3, {_V6 % '::1'}) = -1 ECONNREFUSED (Connection refused) <0.0001>", "close(3) = 0 <0.0001>",
        _TCP, 'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16) = 0 <0.001>',
        _ASK, _OK,
    ],
    "the slower of two raced addresses is given up": [
        "socket(AF_INET6, SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 4 <0.0001>",
        f"connect(4, {_V6 % '2001:db8::7'}) = -1 EINPROGRESS (Operation now in progress) <0.0001>",
        "poll([{fd=4, events=POLLOUT}], 1, 200) = 0 (Timeout) <0.2002>",
        _TCP, _CONNECT, "close(4) = 0 <0.0001>", _ASK, _OK,
    ],
    "ENOTCONN when everything is over": [
        *_GOOD[:-1], "shutdown(3, SHUT_RDWR) = -1 ENOTCONN (Transport endpoint is not connected) <0.0001>",
        "close(3) = 0 <0.0001>",
    ],
    "SIGPIPE is shown although it is ignored, EPIPE of a pipe is `| head`": [
        *_GOOD, 'write(1<pipe:[77]>, "x", 1) = -1 EPIPE (Broken pipe) <0.0001>',
        "--- SIGPIPE {si_signo=SIGPIPE, si_code=SI_USER, si_pid=9, si_uid=0} ---",
    ],
    "an option that this kernel does not know": [
        _TCP, "setsockopt(3, SOL_TCP, TCP_FASTOPEN_CONNECT, [1], 4) = -1 ENOPROTOOPT (Protocol not available) <0.0001>",
        *_GOOD[1:],
    ],
    "poll as a tick: the answer comes after several time-outs": [
        _TCP, _CONNECT, _ASK, *["poll([{fd=3, events=POLLIN}], 1, 1000) = 0 (Timeout) <1.0011>"] * 4,
        "poll([{fd=3, events=POLLIN}], 1, 1000) = 1 ([{fd=3, revents=POLLIN}]) <0.4>", _OK,
    ],
    "one name server is closed, the next answers": [
        "socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 4 <0.0001>", f"connect(4, {_PEER % (53, 53)}) = 0 <0.0001>",
        f"sendto(4, {_QUERY}, 28, MSG_NOSIGNAL, NULL, 0) = 28 <0.0001>",
        "recvfrom(4, 0x7ffd, 2048, 0, NULL, NULL) = -1 ECONNREFUSED (Connection refused) <0.0005>",
        "close(4) = 0 <0.0001>", "socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 4 <0.0001>",
        f"connect(4, {_PEER % (53, 54)}) = 0 <0.0001>",
        f"sendto(4, {_QUERY}, 28, MSG_NOSIGNAL, NULL, 0) = 28 <0.0001>",
        f"recvfrom(4, {_ANSWER}, 2048, 0, NULL, NULL) = 44 <0.001>", "close(4) = 0 <0.0001>", *_GOOD,
    ],
    "a futex that timed out is no socket": [
        "futex(0x7f00, FUTEX_WAIT_PRIVATE, 2, {tv_sec=1, tv_nsec=0}) = -1 ETIMEDOUT (Connection timed out) <1.0001>", *_GOOD,
    ],
    "EPIPE on a UNIX socket of an optional logger": [
        "socket(AF_UNIX, SOCK_DGRAM|SOCK_CLOEXEC, 0) = 4 <0.0001>",
        'connect(4, {sa_family=AF_UNIX, sun_path="/dev/log"}, 110) = -1 ECONNREFUSED (Connection refused) <0.0001>',
        "close(4) = 0 <0.0001>", *_GOOD,
    ],
    "a kept connection that the server closes while it idles": [
        *_GOOD[:-1], 'recvfrom(3, "", 4096, 0, NULL, NULL) = 0 <5.0001>', "close(3) = 0 <0.0001>",
    ],
    "a refused first try and a good second one": [
        _TCP, f"connect(3, {_PEER % (80, 7)}) = -1 ECONNREFUSED (Connection refused) <0.001>", "close(3) = 0 <0.0001>",
        "nanosleep({tv_sec=1, tv_nsec=0}, NULL) = 0 <1.0001>", *_GOOD,
    ],
    "a socket of unknown origin whose datagrams nobody takes": [
        'sendto(5, "job:1|c", 7, 0, NULL, 0) = -1 ECONNREFUSED (Connection refused) <0.0001>',
        'sendto(5, "job:2|c", 7, 0, NULL, 0) = 7 <0.0001>', *_GOOD,
    ],
    "a signal restarts the wait": [
        _TCP, _CONNECT, _ASK,
        "recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted if SA_RESTART is set) <0.5>",
        "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=77, si_uid=0, si_status=0} ---", _OK,
    ],
}  # fmt: skip


def _job(calls: list[str]) -> Analysis:
    lines, now = [], 1_700_000_000.0
    for call in calls:
        lines.append(f"9 {now:.6f} {call}\n".encode())
        took = call.rpartition("<")[2].rstrip(">") if call.endswith(">") else "0"
        now += float(took) + 0.001
    lines.append(f"9 {now:.6f} +++ exited with 0 +++\n".encode())
    return analyze([Input("job.strace", lines)])


def test_a_connect_is_not_slow_for_what_the_log_hides_behind_it() -> None:
    """Without -T a connect lasts until the thread's next line; with -e trace=network the wait between is not there."""
    lines = [_TCP, _CONNECT, _ASK, _OK]
    plain = [line.rpartition(" <")[0] for line in lines]
    text = [b"9 17000000%02d.000000 %s\n" % (at, line.encode()) for at, line in zip((0, 1, 4, 4), plain, strict=True)]
    whole = [*text, b"9 1700000004.000000 close(3) = 0\n", b"9 1700000005.000000 poll([], 0, 1) = 0 (Timeout)\n"]
    assert not [f for f in analyze([Input("network.strace", text)]).findings if f.cause == "slow-connect"]
    assert [f for f in analyze([Input("whole.strace", whole)]).findings if f.cause == "slow-connect"]


@pytest.mark.parametrize("calls", CONFUSERS.values(), ids=CONFUSERS)
def test_a_confuser_is_not_accused(calls: list[str]) -> None:
    """Section 4 of what fools a reader of traces: none of it is a failure of a job that ends well."""
    analysis = _job(calls)
    assert analysis.verdict.outcome == "healthy", analysis.verdict
    assert not [f for f in analysis.findings if f.severity in ("fatal", "error")]


def _verdict(text: str) -> tuple[str, str]:
    verdict = analyze([Input("log", [line.encode() for line in text.splitlines(keepends=True)])]).verdict
    return verdict.outcome, verdict.cause


def test_without_durations_another_thread_may_ask_how_a_connect_went() -> None:
    """Java connects in one thread and reads SO_ERROR in another, long before the first prints its next line."""
    connect = f"connect(3, {_PEER % (80, 7)}) = -1 EINPROGRESS (Operation now in progress)"
    lines = ["9 1.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3", f"9 1.100000 {connect}"]
    lines += ["9 1.050000 clone(child_stack=0x7f00, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 10"]
    lines = [lines[0], lines[2], lines[1], "10 1.200000 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0"]
    lines += ["10 4.000000 shutdown(3, SHUT_WR) = 0", "9 5.000000 +++ exited with 0 +++"]
    assert _verdict("\n".join(lines) + "\n") == ("healthy", "healthy")


def test_stamps_of_whole_seconds_prove_no_second() -> None:
    """-t without -T: from 04:00:00.9 to 04:00:01.1 reads like a second; four seconds are more than three."""
    calls = "9 04:00:00 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3\n9 04:00:00 %s\n9 04:00:0%d close(3) = 0\n"
    text = calls + "9 04:00:09 poll([], 0, 1) = 0 (Timeout)\n9 04:00:09 +++ exited with 0 +++\n"
    connect = f"connect(3, {_PEER % (80, 7)}) = 0"
    assert _verdict(text % (connect, 1)) == ("healthy", "healthy")
    assert _verdict(text % (connect, 4)) == ("degraded", "slow-connect")


def test_a_number_that_connects_to_another_world_was_reused() -> None:
    """Failing calls only (-Z): the libc's look for nscd and the program's own socket had the same number."""
    nscd = f"9 1.000000 connect(4, {_UNIX}) = -1 ENOENT (No such file or directory) <0.000010>\n"
    connect = f"9 2.000000 connect(4, {_PEER % (25, 7)}) = -1 EINPROGRESS (Operation now in progress) <0.000010>\n"
    assert _verdict(nscd + connect + "9 3.000000 +++ exited with 0 +++\n") == ("healthy", "healthy")


def test_a_torn_log_without_a_clock_shows_no_hang() -> None:
    """How long the last call had lasted when the log was cut, nobody can tell."""
    text = '9 execve("/bin/sh", ["sh"], 0x7ffd /* 9 vars */) = 0\n9 wait4(-1,  <unfinished ...>'
    assert _verdict(text + "\n9 +++ killed by SIGTERM +++\n") == ("hung", "not-network")
    assert _verdict(text + '\n10 read(3, "x') != ("hung", "not-network")


_SAYS = 'write(2, "%s\\n", %d) = %d <0.0001>'


@pytest.mark.parametrize(
    ("body", "words", "blamed"),
    [
        ('{\\"a\\": 1}', "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)", False),
        ('{\\"a\\": 1}', "KeyError: 'rows'", True),
        ('{\\"a\\": ', "json.decoder.JSONDecodeError: Expecting value: line 1 column 7 (char 6)", True),
        ("<a><b/></a>", "xml.etree.ElementTree.ParseError: not well-formed (invalid token): line 1, column 0", False),
        ("<a><b/></a>", "AttributeError: 'NoneType' object has no attribute 'text'", True),
    ],
)
def test_a_parser_that_refuses_what_is_sound_has_read_something_else(body: str, words: str, blamed: bool) -> None:
    """The last answer is whole and of the language that the program says it is not: its sender is not to blame."""
    size = len(body.replace("\\", ""))
    head = f"HTTP/1.1 200 OK\\r\\nContent-Length: {size}\\r\\n\\r\\n"
    total = size + len(head.replace("\\r\\n", "12"))
    calls = [
        *_GOOD[:3], f'recvfrom(3, "{head}{body}", 4096, 0, NULL, NULL) = {total} <0.001>',
        _SAYS % (words, len(words) + 1, len(words) + 1), "exit_group(1) = ?",
    ]  # fmt: skip
    begun = 'execve("/bin/job", ["job"], 0x7ffc) = 0 <0.001>'
    lines = [f"9 {1_700_000_000 + at}.000000 {call}\n" for at, call in enumerate([begun, *calls])]
    lines.append("9 1700000007.000000 +++ exited with 1 +++\n")
    verdict = analyze([Input("log", [line.encode() for line in lines])]).verdict
    assert (verdict.peer is not None) is blamed, verdict


def test_the_kernel_is_no_peer_where_socket_2_is_not_in_the_log() -> None:
    """getifaddrs(3) asks over netlink(7), whatever then becomes of the job."""
    to_kernel = "{sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, 12"
    lines = [f'9 1700000001.0000 sendto(3, "\\24\\0\\0\\0\\22\\0\\1\\3", 20, 0, {to_kernel}) = 20 <0.0001>\n']
    lines += ["9 1700000002.0000 exit_group(1) = ?\n", "9 1700000002.0001 +++ exited with 1 +++\n"]
    analysis = analyze([Input("log", [line.encode() for line in lines])])
    assert [socket.family for socket in analysis.evidence.sockets.values()] == ["netlink"]
    assert not analysis.findings
    assert analysis.verdict.peer is None
