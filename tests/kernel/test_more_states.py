"""Hangs of a rarer kind, made for real: what is said of each must be true for whoever is woken by it at night."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from systrace.capture.looking import Looked
from systrace.kernel import procfs
from systrace.kernel.snapshot import take
from systrace.model import Draft, Endpoint, Step
from systrace.reporters.layout import Layout
from systrace.rules.look import patience
from systrace.rules.look.diagnose import Diagnosis, diagnose
from tests.kernel.conftest import YOUNG, Until, Victim

VICTIM = Path(__file__).parent / "victims" / "states.py"
pytestmark = pytest.mark.real
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Made:
    """A victim and what is said of it."""

    def __init__(self, victim: Victim, pid: int) -> None:
        self.victim = victim
        self.snapshot = take(pid)
        self.diagnosis: Diagnosis = diagnose(self.snapshot)
        self.first: Draft = self.diagnosis.findings[0]

    @property
    def kind(self) -> tuple[str, str, str]:
        return self.first.cause, self.first.variant, self.first.severity


@pytest.fixture
def make(until: Until) -> Iterator[Callable[..., Made]]:
    """`make(kind, *arguments, prefix=(...), child=False)`: look at a victim (or the child that it names) once it sleeps."""
    started: list[subprocess.Popen[str]] = []

    def start(kind: str, *arguments: object, prefix: tuple[str, ...] = (), child: bool = False) -> Made:
        words = [*prefix, sys.executable, str(VICTIM), kind, *map(str, arguments)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        victim = Victim(process)
        pid = int(victim.words[0]) if child else process.pid

        def sleeps() -> bool:
            stat = procfs.stat_of(pid)
            return stat is not None and stat.state == "S" and procfs.syscall_of(pid, pid) != "running"

        until(sleeps)
        time.sleep(0.05)  # ready is said before the call
        until(sleeps)
        return Made(victim, pid)

    yield start
    for process in started:
        for pid in reversed(procfs.tree(process.pid)):
            subprocess.run(["kill", "-KILL", str(pid)], check=False, stderr=subprocess.DEVNULL)
        process.communicate()


Make = Callable[..., Made]


def test_a_handler_of_sigalrm_may_break_the_wait(make: Make) -> None:
    made = make("alarm")
    assert (
        "it will wait for ever, unless a timer of its own breaks it (it has a handler for SIGALRM)"
        in made.first.summary
    )
    assert made.first.confidence == "possible"


@pytest.mark.parametrize(("kind", "call"), [("epoll_with_timerfd", "epoll_wait"), ("poll_with_timerfd", "poll")])
def test_a_timerfd_among_the_descriptors_wakes_the_program(make: Make, kind: str, call: str) -> None:
    made = make(kind)
    assert made.kind == ("read-timeout", "timer", "warning")
    assert any(f" in {name} for " in made.diagnosis.headline for name in (call, YOUNG[call]))
    assert "a timer of its own (timerfd) wakes it in 300 s" in made.first.summary
    assert "for ever" not in made.first.summary


def test_a_read_of_a_timerfd_is_a_sleep(make: Make) -> None:
    made = make("read_timerfd")
    assert made.kind == ("not-network", "sleep", "info")
    assert "it sleeps on purpose, 300 s left" in made.first.summary


@pytest.mark.parametrize("kind", ["epoll_nested", "epoll_circle_through_poll"])
def test_what_an_inner_epoll_set_watches_is_waited_for(make: Make, kind: str) -> None:
    made = make(kind)
    assert made.kind[:2] == ("hung-read", "no-deadline")
    assert f"for fd {made.victim.words[0]} to 127.0.0.1:" in made.first.summary


def test_a_number_that_is_another_socket_now_is_not_what_the_set_watches(make: Make) -> None:
    made = make("epoll_of_a_closed_number")
    assert f"127.0.0.1:{made.victim.words[1]}" not in made.first.summary
    assert made.kind == ("not-network", "event", "info")


def test_ipv4_through_ipv6_to_this_host_has_no_middlebox(make: Make) -> None:
    made = make("mapped")
    assert f"[::ffff:127.0.0.1]:{made.victim.words[1]}" in made.first.summary
    assert "The other end is on this host" in made.first.summary


@needs_root
def test_an_address_of_this_hosts_own_has_no_middlebox(make: Make) -> None:
    name = f"krn-own{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "-n", name, "address", "add", "10.99.9.1/24", "dev", "lo"], check=True)
        made = make("own_address", "10.99.9.1", prefix=("ip", "netns", "exec", name))
        long_ago = tuple(
            replace(s, tcp=replace(s.tcp, last_data_sent_ms=400_000, last_data_received_ms=400_000)) if s.tcp else s
            for s in made.snapshot.sockets
        )
        processes = tuple(
            replace(p, threads=tuple(replace(t, blocked_ns=400 * 10**9) for t in p.threads))
            for p in made.snapshot.processes
        )
        first = diagnose(replace(made.snapshot, sockets=long_ago, processes=processes)).findings[0]
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    assert "The other end is on this host" in made.first.summary
    assert (first.cause, first.severity) == ("hung-read", "fatal")  # no idle-timeout: nothing is in between
    assert "NAT" not in first.summary


@pytest.mark.parametrize("kind", ["forked_server", "forked_server_unix"])
def test_a_servers_child_without_the_listening_socket_waits_for_its_client(
    make: Make, kind: str, tmp_path: Path
) -> None:
    made = make(kind, tmp_path / "socket", child=True)
    assert made.kind == ("hung-read", "server", "info")
    assert "it waits for the client's next bytes" in made.first.summary
    assert "for ever" not in made.first.summary


def test_without_netlink_a_servers_side_is_known_by_its_port(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from systrace.kernel import sock_diag

    made = make("forked_server", child=True)

    def refused(_pid: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(sock_diag, "namespace_socket", refused)
    first = diagnose(take(made.snapshot.pid)).findings[0]
    assert (first.variant, first.severity) == ("server", "info")


@pytest.mark.parametrize(("kind", "where"), [("udp_server", 5514), ("unix_datagram_server", "socket")])
def test_a_daemon_that_takes_messages_from_anybody_hangs_on_nobody(
    make: Make, kind: str, where: int | str, tmp_path: Path
) -> None:
    made = make(kind, where if isinstance(where, int) else tmp_path / where)
    assert made.kind == ("hung-read", "messages", "info")
    assert "it waits for the next message, whoever sends one" in made.first.summary


def test_a_datagram_client_on_a_port_of_the_kernels_choice_may_wait_in_vain(make: Make) -> None:
    made = make("udp_client")
    assert made.kind == ("hung-read", "pending", "warning")
    assert "no timeout: it may wait for ever" in made.first.summary


@needs_root
@pytest.mark.parametrize("kind", ["sniffer", "raw"])
def test_who_listens_to_packets_has_no_other_end(make: Make, kind: str) -> None:
    made = make(kind)
    assert made.kind == ("hung-read", "messages", "info")
    assert "other end" not in made.first.summary


def test_a_full_queue_of_a_unix_listener_is_no_slow_reader(make: Make, tmp_path: Path) -> None:
    made = make("unix_connect", tmp_path / "socket")
    assert made.kind == ("connect-timeout", "queue", "warning")
    assert f"to unix:{tmp_path}/socket: the listener's queue is full, its program does not accept" in made.first.summary
    assert "send buffer" not in made.first.summary


def test_a_closed_window_with_a_user_timeout_has_a_limit(make: Make) -> None:
    made = make("send_with_user_timeout")
    assert made.kind[0] == "send-blocked"
    if made.kind[1] == "persist":  # the zero-window probes have begun
        assert "TCP_USER_TIMEOUT ends it 120 s after the last acknowledgement" in made.first.summary
    assert "no limit to this" not in made.first.summary


@pytest.mark.parametrize(
    ("user_timeout_ms", "ends"),
    [(30_000, "75 s"), (70_000, "75 s"), (600_000, "600 s")],  # tcp_keepalive_timer: at the first probe past it
)
def test_a_user_timeout_takes_the_place_of_the_number_of_probes(make: Make, user_timeout_ms: int, ends: str) -> None:
    made = make("keepalive_with_user_timeout", user_timeout_ms)
    state = next(s for s in made.snapshot.sockets if s.user_timeout_ns)
    found = patience.keepalive_gives_up_s(state)
    assert found == pytest.approx(float(ends.split()[0]), abs=1)
    assert f"if the peer is gone that shows in {ends}" in made.first.summary


@needs_root
def test_a_socket_of_a_network_that_was_left_is_known_by_itself(make: Make) -> None:
    made = make("two_networks")
    state = next(s for s in made.snapshot.sockets if s.fd == int(made.victim.words[0]))
    assert (state.state, state.unread, state.unsent) == ("established", 0, 0)
    assert f"127.0.0.1:{made.victim.words[1]}" in made.first.summary


def test_a_stopped_process_at_the_other_end_is_said_to_be_stopped(make: Make) -> None:
    made = make("stopped_peer")
    waits = next(f for f in made.diagnosis.findings if f.cause == "hung-read")
    assert f"[{made.victim.words[0]}], which is stopped" in waits.summary
    assert made.first.variant == "stopped"


def test_a_splice_waits_for_its_silent_socket(make: Make) -> None:
    made = make("splice")
    assert made.kind[:2] == ("hung-read", "no-deadline")
    assert f"in splice on fd {made.victim.words[0]} from 127.0.0.1:" in made.first.summary


def test_a_close_that_lingers_is_named(make: Make) -> None:
    made = make("linger")
    assert made.kind == ("not-network", "linger", "warning")
    assert "it lingers until the peer has taken what was written, or SO_LINGER's time is over" in made.first.summary


@needs_root
def test_a_call_that_a_supervisor_holds_is_no_wait_for_the_network(make: Make) -> None:
    made = make("held_by_a_supervisor")
    assert made.kind == ("not-network", "supervisor", "warning")
    assert "in connect: a seccomp filter has handed this call to its supervisor" in made.first.summary


def test_an_answer_that_came_in_part_is_no_silence_since_the_request(make: Make) -> None:
    assert "last data came" in make("partly").first.summary
    assert "last data came" in make("low_water").first.summary  # and nothing was ever sent


def test_a_half_closed_connection_still_waits_for_its_answer(make: Make) -> None:
    made = make("half_closed")
    assert made.kind[:2] == ("hung-read", "no-deadline")
    assert any("fin-wait-2" in line.text for line in made.first.lines)


@pytest.mark.parametrize(
    ("kind", "says"),
    [("io_uring", "in io_uring_enter on anon_inode:[io_uring]"), ("signalfd", "in read on anon_inode:[signalfd]")],
)
def test_what_cannot_be_told_is_neither_well_nor_ill(make: Make, kind: str, says: str) -> None:
    made = make(kind)
    assert says in made.first.summary
    assert b"NOT CLEAR: " in Looked.of(made.snapshot).report("table", Layout())


@needs_root
def test_a_page_that_nobody_fills_is_no_call(make: Make) -> None:
    made = make("page_fault")
    assert "is blocked outside a system call" in made.first.summary
    assert "userfault" in made.first.summary


def test_resting_workers_beside_a_server_that_accepts_are_no_hang(make: Make) -> None:
    made = make("resting_workers")
    assert made.kind == ("hung-read", "accept", "info")
    assert b"HEALTHY: " in Looked.of(made.snapshot).report("table", Layout())


@pytest.mark.parametrize("kind", ["own_pipe_of_threads", "own_pipe_in_poll"])
def test_a_pipe_by_which_a_process_wakes_itself_is_no_deadlock(make: Make, kind: str) -> None:
    """Another thread, or a signal handler, writes into it."""
    made = make(kind)
    finding = next(f for f in made.diagnosis.findings if "a pipe" in f.summary)
    assert (finding.variant, finding.severity) == ("event", "info")
    assert "of its own: it waits until another thread or a signal handler wakes it" in finding.summary


def test_a_server_with_a_resting_pool_waits_for_its_clients(make: Make) -> None:
    made = make("server_with_a_pool")
    assert made.kind == ("hung-read", "accept", "info")
    assert b"HEALTHY: " in Looked.of(made.snapshot).report("table", Layout())


def test_a_server_that_has_asked_waits_for_the_answer(make: Make) -> None:
    made = make("server_with_a_question")
    assert made.kind[:2] == ("hung-read", "no-deadline")
    assert f"for fd {made.victim.words[0]} to " in made.first.summary


def test_who_waits_for_news_from_the_kernel_has_no_peer(make: Make) -> None:
    made = make("netlink")
    assert made.kind == ("not-network", "other", "info")


def test_commands_for_ipv6_are_such_that_ss_takes_them(make: Make) -> None:
    made = make("ipv6_unanswered")
    assert "from [::1]:" in made.first.summary
    port = made.first.peer.rsplit(":", 1)[1] if made.first.peer else ""
    assert made.first.next_steps == [Step(f"ss -tnp src [::1]:{port}")]
    away = tuple(
        replace(s, peer=Endpoint("inet6", "2001:db8::7", 443), peer_inode=None)
        if s.fd == int(made.victim.words[0])
        else s
        for s in made.snapshot.sockets
    )
    assert Step("ss -tnoi dst [2001:db8::7]") in diagnose(replace(made.snapshot, sockets=away)).findings[0].next_steps


def test_an_accept_with_a_limit_is_a_server_all_the_same(make: Make) -> None:
    assert make("accept_with_a_limit").kind == ("hung-read", "accept", "info")


def test_multipath_tcp_is_followed_too(make: Make) -> None:
    if not Path("/proc/sys/net/mptcp/enabled").exists():
        pytest.skip("this kernel has no MPTCP")
    made = make("mptcp")
    assert made.kind[:2] == ("hung-read", "no-deadline")
    assert f"127.0.0.1:{made.victim.words[1]}" in made.first.summary
    assert make("mptcp_accept").kind == ("hung-read", "accept", "info")
