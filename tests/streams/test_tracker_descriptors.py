"""Which socket a number means: fork, threads, exec, dup, passing, reuse (strace-format section 8)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.model import Input, Socket
from systrace.pipeline import analyze
from systrace.streams import Tracker

Follow = Callable[[str], Tracker]
TCP = "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>"
CLOEXEC = "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = 3 <0.0001>"
SEND = 'sendto({}, "abcd", 4, 0, NULL, 0) = 4 <0.0001>'


def shown(tracker: Tracker) -> list[tuple[str, int, str]]:
    """(uid, bytes sent, closed by) of the sockets."""
    return [(s.uid, s.sent.original_len, s.closed_by) for s in sockets(tracker)]


def sockets(tracker: Tracker) -> list[Socket]:
    """In order of appearance."""
    return [s for s in tracker.lookup.sockets.values() if s.kind == "socket"]


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (f"1 0 {TCP}\n1 1 dup(3) = 4 <0.1>\n1 2 close(3) = 0 <0.1>\n1 3 {SEND.format(4)}\n1 4 close(4) = 0 <0.1>",
         [("S1", 4, "close")]),
        (f"1 0 {TCP}\n1 1 dup2(3, 9) = 9 <0.1>\n1 2 close(3) = 0 <0.1>\n1 3 {SEND.format(9)}", [("S1", 4, "")]),
        (f"1 0 {TCP}\n1 1 fcntl(3, F_DUPFD_CLOEXEC, 20) = 20 <0.1>\n1 2 {SEND.format(20)}", [("S1", 4, "")]),
        (f"1 0 {TCP}\n1 1 fork() = 2 <0.1>\n1 2 close(3) = 0 <0.1>\n2 3 {SEND.format(3)}\n2 4 +++ exited with 0 +++",
         [("S1", 4, "exit")]),
        (f"1 0 {TCP}\n1 1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 2 <0.1>\n"
         f"2 2 {SEND.format(3)}\n2 3 close(3) = 0 <0.1>", [("S1", 4, "close")]),
        (f"1 0 {TCP}\n1 1 clone3({{flags=CLONE_VM|CLONE_FILES|CLONE_THREAD}} => {{parent_tid=[2]}}, 88) = 2 <0.1>\n"
         f"2 2 +++ exited with 0 +++\n1 3 {SEND.format(3)}", [("S1", 4, "")]),
        (f'1 0 {CLOEXEC}\n1 1 execve("/x", ["x"], 0x1 /* 1 var */) = 0 <0.1>', [("S1", 0, "exec")]),
        (f'1 0 {TCP}\n1 1 execve("/x", ["x"], 0x1 /* 1 var */) = 0 <0.1>\n1 2 {SEND.format(3)}', [("S1", 4, "")]),
        (f'1 0 {TCP}\n1 1 fcntl(3, F_SETFD, FD_CLOEXEC) = 0 <0.1>\n1 2 execve("/x", ["x"], 0x1) = 0 <0.1>',
         [("S1", 0, "exec")]),
        (f'1 0 {TCP}\n1 1 execve("/x", ["x"], 0x1) = -1 ENOENT (x) <0.1>\n1 2 {SEND.format(3)}', [("S1", 4, "")]),
        (f"1 0 {TCP}\n1 1 close_range(3, 4294967295, 0) = 0 <0.1>", [("S1", 0, "close")]),
        (f"1 0 {TCP}\n1 1 close_range(3, 4294967295, CLOSE_RANGE_CLOEXEC) = 0 <0.1>\n1 2 {SEND.format(3)}",
         [("S1", 4, "")]),
        (f"1 0 {TCP}\n1 1 close(3) = 0 <0.1>\n1 2 {TCP}\n1 3 {SEND.format(3)}", [("S1", 0, "close"), ("S2", 4, "")]),
        (f'1 0 {TCP}\n1 1 close(3) = 0 <0.1>\n1 2 openat(AT_FDCWD, "/f", O_RDONLY) = 3 <0.1>\n'
         '1 3 write(3, "ab", 2) = 2 <0.1>', [("S1", 0, "close")]),
        (f"1 0 {TCP}\n1 1 {TCP.replace('= 3', '= 4')}", [("S1", 0, ""), ("S2", 0, "")]),
        (f"1 0 {TCP}\n1 1 +++ killed by SIGKILL +++", [("S1", 0, "signal SIGKILL")]),
        (f"1 0 {SEND.format(5)}", [("S1", 4, "")]),
    ],
    ids=["dup", "dup2", "F_DUPFD", "fork", "thread closes", "thread ends", "close-on-exec", "exec keeps", "FD_CLOEXEC",
         "failed exec", "close_range", "close_range marks", "number reused", "reused by a file", "two", "killed",
         "inherited"],
)  # fmt: skip
def test_what_a_number_means(follow: Follow, story: str, expected: list[tuple[str, int, str]]) -> None:
    """Trap 15: the same number, another thing."""
    assert shown(follow(story)) == expected


def test_trap_27_a_child_s_lines_before_the_result_of_clone(follow: Follow) -> None:
    """While a fork is under way, an unknown thread is its child, with its descriptors."""
    tracker = follow(
        f"1 0 {TCP}\n1 1 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>\n2 2 {SEND.format(3)}\n"
        "1 3 <... clone resumed>) = 2 <2.0>\n2 4 +++ exited with 0 +++\n1 5 +++ exited with 0 +++"
    )
    assert shown(tracker) == [("S1", 4, "exit")]
    assert tracker.tasks.processes[2].parent == 1


def test_threads_whose_creation_is_hidden(follow: Follow) -> None:
    """-e trace=network shows no clone: one that uses another's socket is taken for its thread."""
    tracker = follow(f"1 0 {TCP}\n2 1 {SEND.format(3)}\n1 2 {SEND.format(3)}")
    assert shown(tracker) == [("S1", 8, "")]


def test_descriptors_passed_between_processes(follow: Follow) -> None:
    """SCM_RIGHTS: another number in another process, the same socket."""
    rights = "{{msg_name=NULL, msg_iov=[{{iov_base=\"x\", iov_len=1}}], msg_control=[{{cmsg_len=20, cmsg_level=SOL_SOCKET, " \
             "cmsg_type=SCM_RIGHTS, cmsg_data=[{}]}}], msg_controllen=24, msg_flags=0}}"  # fmt: skip
    tracker = follow(
        "1 0 socketpair(AF_UNIX, SOCK_STREAM, 0, [5, 6]) = 0 <0.1>\n1 1 fork() = 2 <0.1>\n"
        f"1 2 {TCP}\n1 3 sendmsg(5, {rights.format('3')}, 0) = 1 <0.1>\n1 4 close(3) = 0 <0.1>\n"
        f"2 5 recvmsg(6, {rights.format('9')}, 0) = 1 <0.1>\n2 6 {SEND.format(9)}"
    )
    assert [(s.family, s.sent.original_len, s.closed_by) for s in sockets(tracker)][2:] == [("inet", 4, "")]


def test_a_pid_is_used_again(follow: Follow) -> None:
    """After +++ a number is another process, without the descriptors of the first."""
    tracker = follow(
        f"1 0 fork() = 2 <0.1>\n2 1 {TCP}\n2 2 +++ exited with 0 +++\n1 3 fork() = 2 <0.1>\n2 4 {TCP}\n"
        f"2 5 {SEND.format(3)}"
    )
    assert shown(tracker) == [("S1", 0, "exit"), ("S2", 4, "")]


def test_another_inode_is_another_socket(follow: Follow) -> None:
    """Without close in the log, the annotation says that the number was reused."""
    tracker = follow(
        '1 0 sendto(3<TCP:[7]>, "ab", 2, 0, NULL, 0) = 2 <0.1>\n1 1 sendto(3<TCP:[8]>, "a", 1, 0, NULL, 0) = 1 <0.1>\n'
        '1 2 sendto(4<TCP:[7]>, "ab", 2, 0, NULL, 0) = 2 <0.1>'
    )
    assert [(s.inode, s.sent.original_len) for s in sockets(tracker)] == [(7, 4), (8, 1)]


def test_trap_33_an_annotation_gives_a_peer_to_inherited_sockets(follow: Follow) -> None:
    """What connect said outranks it."""
    tracker = follow(
        '1 0 sendto(3<TCP:[1.1.1.1:1->2.2.2.2:2]>, "ab", 2, 0, NULL, 0) = 2 <0.1>\n'
        "1 1 socket(AF_INET, SOCK_STREAM, 0) = 4 <0.1>\n1 2 connect(4<TCP:[9]>, {sa_family=AF_INET, sin_port=htons(80), "
        'sin_addr=inet_addr("3.3.3.3")}, 16) = 0 <0.1>\n1 3 sendto(4<TCP:[1.1.1.1:1->4.4.4.4:4]>, "a", 1, 0, NULL, 0) = 1 <0.1>'
    )
    assert [str(s.peer) for s in sockets(tracker)] == ["2.2.2.2:2", "3.3.3.3:80"]


@pytest.mark.parametrize(
    ("second", "sockets_seen"),
    [
        ('connect(3, {sa_family=AF_UNSPEC, sa_data="\\0"}, 16) = 0 <0.1>', 1),  # undoes the connection (connect(2))
        ('connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0 <0.1>', 2),  # a socket keeps its family
        ('connect(3, {sa_family=AF_INET, sin_port=htons(81), sin_addr=inet_addr("192.0.2.1")}, 16) = 0 <0.1>', 2),
        ('connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16) = 0 <0.1>', 1),
    ],
)
def test_a_second_connect_on_a_number(follow: Follow, second: str, sockets_seen: int) -> None:
    """The log hides close and socket: one that has carried data does not begin anew with another peer."""
    to = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16'
    tracker = follow(
        f'1 0 connect(3, {to}) = 0 <0.1>\n1 1 sendto(3, "a", 1, 0, NULL, 0) = 1 <0.1>\n'
        f'1 2 recvfrom(3, "b", 9, 0, NULL, NULL) = 1 <0.1>\n1 3 {second}'
    )
    assert len(sockets(tracker)) == sockets_seen


@pytest.mark.parametrize(
    "end", ['"", 9, 0, NULL, NULL) = 0', "0x1, 9, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)"]
)
def test_a_connection_that_ended_is_not_the_next_one(follow: Follow, end: str) -> None:
    """The log hides close and socket, and the peer never sent a byte: what follows is another's, a look-up's for one."""
    to = '{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("192.0.2.%d")}, 16) = 0 <0.1>'
    tracker = follow(
        f'1 0 connect(3, {to % (80, 1)}\n1 1 sendto(3, "a", 1, 0, NULL, 0) = 1 <0.1>\n'
        f"1 2 recvfrom(3, {end} <0.1>\n1 3 connect(3, {to % (53, 2)}"
    )
    assert [str(s.peer) for s in sockets(tracker)] == ["192.0.2.1:80", "192.0.2.2:53"]


def test_a_socket_of_datagrams_has_nothing_to_wait_for(follow: Follow) -> None:
    """EINPROGRESS is of a connection: a resolver's number was closed unseen, and came back."""
    to = '{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("192.0.2.%d")}, 16)'
    tracker = follow(
        f"1 0 socket(AF_INET, SOCK_DGRAM, 0) = 3 <0.1>\n1 1 connect(3, {to % (53, 2)} = 0 <0.1>\n"
        f"1 2 connect(3, {to % (80, 1)} = -1 EINPROGRESS (Operation now in progress) <0.1>"
    )
    assert [(s.type, str(s.peer)) for s in sockets(tracker)] == [("dgram", "192.0.2.2:53"), ("stream", "192.0.2.1:80")]


def test_the_ends_of_a_pair_are_known_by_their_inodes(follow: Follow) -> None:
    """A child that was traced late uses an end that its parent made: no socket of its own."""
    tracker = follow(
        "1 0 socketpair(AF_UNIX, SOCK_STREAM, 0, [3<socket:[70]>, 4<socket:[71]>]) = 0 <0.1>\n"
        '2 1 sendto(9<socket:[71]>, "abcd", 4, 0, NULL, 0) = 4 <0.1>'
    )
    assert [(s.uid, s.inode, s.sent.original_len) for s in sockets(tracker)] == [("S1", 70, 0), ("S2", 71, 4)]


def test_a_bare_inode_is_of_any_family(follow: Follow) -> None:
    """`-y` writes `socket:[70]` for a UNIX socket, too: it is the one that socket(2) made, and no second one."""
    tracker = follow(
        "1 0 socket(AF_UNIX, SOCK_STREAM, 0) = 3<socket:[70]> <0.1>\n"
        '1 1 connect(3<socket:[70]>, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0 <0.1>\n'
        '1 2 write(3<socket:[70]>, "ab", 2) = 2 <0.1>'
    )
    assert [(s.uid, str(s.peer), s.sent.original_len) for s in sockets(tracker)] == [("S1", "unix:/run/x", 2)]


def test_the_first_process_gets_its_number_late() -> None:
    """strace -p 77 without -f, on a terminal: what was used before its last line is its own."""
    to = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, 16'
    text = f"connect(3, {to}) = 0\nstrace: Process 77 detached\n"
    evidence = analyze([Input("log", text.encode().splitlines(keepends=True))]).evidence
    assert list(evidence.processes) == [77]
    assert {holder.pid for socket in evidence.sockets.values() for holder in socket.holders} == {77}
