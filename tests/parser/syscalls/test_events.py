"""What each call says, in the spellings of every version (strace-format 5.1, 6, 7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from systrace import model
from systrace.model import Endpoint, Event

Decode = Callable[[str], list[Event]]
S = 1_000_000_000
UDP = Endpoint("inet", "1.2.3.4", 53)

# (line, event, its fields that matter)
ROWS: list[tuple[str, type[Event], dict[str, Any]]] = [
    ("socket(PF_INET, SOCK_STREAM, IPPROTO_TCP) = 3", model.Opened, {"fd": 3, "family": "inet", "type": "stream"}),
    ("socket(0x2, 0x80801, 0) = 0x5", model.Opened,
     {"fd": 5, "family": "inet", "type": "stream", "nonblock": True, "cloexec": True}),
    ("socket(AF_INET, SOCK_STREAM, 0) = -1 EMFILE (x)", model.Opened, {"fd": -1}),
    ("socketpair(PF_FILE, SOCK_STREAM, 0, [5, 6]) = 0", model.Paired, {"fds": (5, 6), "kind": "socketpair"}),
    ("socketpair(AF_UNIX, SOCK_STREAM, 0, [5<UNIX-STREAM:[1->2]>, 6<UNIX-STREAM:[2->1]>]) = 0", model.Paired,
     {"fds": (5, 6)}),
    ("pipe2([3<pipe:[9]>, 4<pipe:[9]>], O_CLOEXEC) = 0", model.Paired, {"fds": (3, 4), "kind": "pipe", "cloexec": True}),
    ('openat(AT_FDCWD</srv>, "rows.csv", O_RDWR) = 3</srv/rows.csv>', model.FileOpened,
     {"path": "/srv/rows.csv", "writes": True}),
    ('openat(AT_FDCWD, "rows.csv", O_RDONLY) = 3</srv/rows.csv>', model.FileOpened,
     {"path": "/srv/rows.csv", "writes": False}),
    ('openat(AT_FDCWD, "rows.csv", O_RDONLY) = 3', model.FileOpened, {"path": "rows.csv"}),
    ('openat(4</srv>, "./rows.csv", O_RDONLY) = 3', model.FileOpened, {"path": "/srv/rows.csv"}),
    ('openat(4<socket:[9]>, "rows.csv", O_RDONLY) = 3', model.FileOpened, {"path": "rows.csv"}),
    ('openat(AT_FDCWD</srv>, "/etc/passwd", O_RDONLY) = 3', model.FileOpened, {"path": "/etc/passwd"}),
    ('creat("rows.csv", 0666) = 3', model.FileOpened, {"path": "rows.csv", "writes": True}),
    ('rename("a", "/srv/b") = 0', model.Renamed, {"old": "a", "new": "/srv/b"}),
    ('renameat2(AT_FDCWD</srv>, "a", 4</tmp>, "b", RENAME_NOREPLACE) = 0', model.Renamed,
     {"old": "/srv/a", "new": "/tmp/b"}),
    ("shutdown(9, 1 /* send */) = 0", model.Shut, {"fd": 9, "how": "write"}),
    ("shutdown(9, SHUT_RDWR) = 0", model.Shut, {"how": "both"}),
    ("shutdown(9, 0 /* receive */) = 0", model.Shut, {"how": "read"}),
    ("accept(3, 0, NULL) = 5", model.Accepted, {"fd": 3, "new_fd": 5, "peer": None}),
    ("accept4(5, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr(\"1.2.3.4\")}, [128->16], "
     "SOCK_CLOEXEC|SOCK_NONBLOCK) = 9", model.Accepted, {"new_fd": 9, "peer": UDP, "cloexec": True, "nonblock": True}),
    ("connect(sockfd=5, addr={sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr(\"1.2.3.4\")}, addrlen=16) = 0",
     model.Connected, {"fd": 5, "peer": UDP}),
    ("connect(0x5, 0x7ffc27597940, 0x10) = 0", model.Connected, {"fd": 5, "peer": None}),
    ('send(5, "ab"..., 2, MSG_NOSIGNAL) = 2', model.Sent, {"fd": 5, "size": 2, "flags": b"MSG_NOSIGNAL"}),
    ('recv(5, "MSG_PEEK", 99, 0) = 8', model.Received, {"fd": 5, "size": 8, "flags": b""}),
    ("recvfrom(5, 0x7ffc, 100, 0, 0, 0) = -1 EAGAIN (x)", model.Received, {"fd": 5, "size": 0}),
    ("setsockopt(5, SOL_SOCKET, SO_RCVTIMEO, \"\\0\\0\\0\\0\\0\\0\\0\\0000u\\0\\0\\0\\0\\0\\0\", 16) = 0", model.OptionSet,
     {"name": "SO_RCVTIMEO", "value": 30_000_000}),
    ("setsockopt(5, SOL_SOCKET, SO_SNDTIMEO_OLD, \"\\2\\0\\0\\0\\0\\0\\0\\0\", 8) = 0", model.OptionSet,
     {"name": "SO_SNDTIMEO", "value": 2 * S}),
    ("setsockopt(5, SOL_SOCKET, SO_RCVTIMEO, \"\\2\\0\\0\"..., 16) = 0", model.OptionSet, {"value": None}),
    ("setsockopt(5, SOL_TCP, 0x12 /* TCP_??? */, [30000], 4) = 0", model.OptionSet,
     {"level": "SOL_TCP", "name": "TCP_USER_TIMEOUT", "value": 30000}),
    ("getsockopt(5, SOL_SOCKET, SO_ERROR, [17179869184], [4]) = 0", model.OptionGot, {"error": ""}),
    ("getsockopt(5, SOL_SOCKET, SO_ERROR, [111], [4]) = 0", model.OptionGot, {"error": "ECONNREFUSED"}),
    ("getsockopt(5, SOL_SOCKET, SO_ERROR, [111 /* ECONNREFUSED */], [8 => 4]) = 0", model.OptionGot,
     {"error": "ECONNREFUSED"}),
    ("getsockopt(5, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0", model.OptionGot, {"error": "ECONNREFUSED"}),
    ("epoll_ctl(4, EPOLL_CTL_ADD, 5, {EPOLLIN, {u32=5, u64=5}}) = 0", model.EpollChanged,
     {"epoll_fd": 4, "op": "ADD", "fd": 5, "events": "EPOLLIN", "data": 5}),
    ("epoll_ctl(4<anon_inode:[eventpoll]>, EPOLL_CTL_MOD, 5<TCP:[1.1.1.1:1->2.2.2.2:2]>, {events=EPOLLOUT, data=0x5}) = 0",
     model.EpollChanged, {"op": "MOD", "fd": 5, "events": "EPOLLOUT", "data": 5}),
    ("epoll_wait(4, {{EPOLLIN, {u32=5, u64=5}}}, 8, 4294967295) = 1", model.Waited,
     {"epoll_fd": 4, "limit_ns": None, "ready": ((5, "EPOLLIN"),)}),
    ("epoll_wait(4, [{EPOLLIN, {u32=5, u64=5}}], 8, 20) = 1", model.Waited,
     {"limit_ns": 20_000_000, "ready": ((5, "EPOLLIN"),)}),
    ("epoll_wait(4, [{events=EPOLLIN, data=0x5}], 8, -1) = 1", model.Waited, {"ready": ((5, "EPOLLIN"),)}),
    ("epoll_pwait2(4, [], 8, {tv_sec=2, tv_nsec=0}, NULL, 8) = 0", model.Waited,
     {"limit_ns": 2 * S, "timed_out": True}),
    ("select(6, [4<TCP:[127.0.0.1:5->1.2.3.4:80]> 5], NULL, NULL, {20, 0}) = 1 (in [4], left {19, 9})", model.Waited,
     {"fds": ((4, "r"), (5, "r")), "limit_ns": 20 * S, "ready": ((4, "POLLIN"),)}),
    ("pselect6(6, [4], [4], NULL, {tv_sec=1, tv_nsec=0}, NULL) = 0 (Timeout)", model.Waited,
     {"fds": ((4, "rw"),), "timed_out": True, "limit_ns": S}),
    ("poll([{fd=4<TCP:[1.1.1.1:1->2.2.2.2:2]>, events=POLLIN}, {fd=-1}], 2, -1) = 1 ([{fd=4, revents=POLLIN}])",
     model.Waited, {"fds": ((4, "r"),), "limit_ns": None, "ready": ((4, "POLLIN"),)}),
    ("poll([...], 1, 1000) = 1 ([...])", model.Waited, {"fds": (), "incomplete": True}),
    ("clone(child_stack=0, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 9", model.Cloned,
     {"child": 9, "thread": True, "shares_files": True}),
    ("fork() = 9<x>", model.Cloned, {"child": 9, "thread": False}),
    ('execve("/bin/ls", ["ls", "-l"], [/* 28 vars */]) = 0', model.Executed, {"path": "/bin/ls", "argv": ("ls", "-l")}),
    ('execve("\\x2f\\x61", ["\\x61"], 0x7 /* 3 vars */) = 0', model.Executed, {"path": "/a", "argv": ("a",)}),
    ("_exit(2) = ?", model.Exited, {"code": 2, "whole": True, "final": False}),
    ("exit(2) = ?", model.Exited, {"code": 2, "whole": False}),
    ("+++ killed by SIGSEGV (core dumped) +++", model.Exited, {"signal": "SIGSEGV", "whole": True, "final": True}),
    ("wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 9", model.Reaped, {"child": 9, "code": 3}),
    ("wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV}], 0, NULL) = 9", model.Reaped, {"signal": "SIGSEGV"}),
    ("--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=9, si_status=3} ---", model.Reaped,
     {"child": 9, "code": 3}),
    ("--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=9, si_uid=0} ---", model.Signalled,
     {"signal": "SIGTERM", "sender": 9, "code": "SI_USER"}),
    ("--- SIGPIPE (Broken pipe) @ 0 (0) ---", model.Signalled, {"signal": "SIGPIPE", "sender": None}),
    ("kill(9, SIGTERM) = 0", model.Killed, {"target": 9, "signal": "SIGTERM"}),
    ("tgkill(9, 10, SIGTERM) = 0", model.Killed, {"target": 10}),
    ("alarm(3) = 0", model.TimerSet, {"limit_ns": 3 * S}),
    ("setitimer(ITIMER_REAL, {it_interval={0, 0}, it_value={1, 500000}}, NULL) = 0", model.TimerSet,
     {"limit_ns": 1_500_000_000}),
    ("fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0", model.FlagsSet, {"nonblock": True}),
    ("ioctl(3, FIONBIO, [0]) = 0", model.FlagsSet, {"nonblock": False}),
    ("close_range(3, 4294967295, 0) = 0", model.Closed, {"first": 3, "last": 4294967295}),
    ("sendfile(5, 6, NULL, 100) = 50", model.Spliced, {"source_fd": 6, "fd": 5, "size": 50}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "kind", "fields"), ROWS)
def test_a_call_is_an_event(decode: Decode, line: str, kind: type[Event], fields: dict[str, Any]) -> None:
    """Of this kind, with these fields."""
    (event,) = decode(f"7 1700000000.000000 {line}\n")
    assert type(event) is kind
    assert {name: getattr(event, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ('sendmsg(3, {msg_name(0)=NULL, msg_iov(2)=[{"ab", 2}, {"cd", 2}], msg_controllen=0, msg_flags=0}, 0) = 4',
         [(b"abcd", 4)]),
        ('sendmsg(3, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="ab", iov_len=2}], msg_iovlen=1}, 0) = 2',
         [(b"ab", 2)]),
        ('recvmsg(3, {msg_name(0)=NULL, msg_iov(1)=[{"abgarbage", 9}], msg_controllen=0}, 0) = 2', [(b"ab", 2)]),
        ('writev(3, [{"ab"..., 5}, {"cd", 2}], 2) = 7', [(b"ab", 7)]),
        ('sendmmsg(3, [{msg_hdr={msg_name=NULL, msg_iov=[{iov_base="ab", iov_len=2}]}, msg_len=2}, '
         '{msg_hdr={msg_name=NULL, msg_iov=[{iov_base="xyz", iov_len=3}]}, msg_len=3}], 2, 0) = 2',
         [(b"ab", 2), (b"xyz", 3)]),
        ('recvfrom(3, "\\0224", 9, 0, NULL, NULL) = 2', [(b"\x124", 2)]),
        ('read(3, "abc"..., 900) = 900', [(b"abc", 900)]),
    ],
)  # fmt: skip
def test_trap_11_the_bytes_of_a_transfer(decode: Decode, line: str, pieces: list[tuple[bytes, int]]) -> None:
    """As many as the call returned; known ones may be fewer."""
    (event,) = decode(f"7 1700000000.000000 {line}\n")
    assert isinstance(event, model.Transfer)
    assert event.payload() == pieces
    assert event.size == sum(length for _, length in pieces)


def test_passed_descriptors(decode: Decode) -> None:
    """With and without annotations."""
    control = "msg_control=[{{cmsg_type=SCM_RIGHTS, cmsg_data=[{}]}}]"
    message = 'recvmsg(3, {{msg_iov=[{{iov_base="x", iov_len=1}}], ' + control + "}}, 0) = 1"
    for data in ("60, 61", "60<TCP:[1.1.1.1:1->2.2.2.2:2]>, 61</dev/null<char 1:3>>"):
        (event,) = decode(f"7 1700000000.000000 {message.format(data)}\n")
        assert isinstance(event, model.DescriptorsPassed)
        assert event.fds == (60, 61)
