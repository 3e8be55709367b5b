"""Who serves and who asks: what tells them apart in the kernel's tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from systrace.look.nouns import Call, Look, ProcessState, SocketState, Thread
from systrace.model import Draft, Endpoint
from systrace.rules.look.diagnose import diagnose
from tests.rules.look.test_sockets import IDLE, INFO, RECV

DATAGRAM = replace(IDLE, type="dgram", protocol="udp", peer=None, tcp=None, state="unconnected")
LOCAL = replace(IDLE, family="unix", protocol="", tcp=None, local=None, peer=None)
NAMED = Endpoint("unix", path="/run/s")


def found(state: SocketState, sysctls: dict[str, int] | None = None) -> Draft:
    """What a recvfrom of 412 s on it comes to."""
    thread = Thread(42, 42, "job", "S", "wait_woken", RECV, 412 * 10**9)
    process = ProcessState(42, 1, "job", ("job",), "S", 0, 1, "x86_64", (thread,))
    return diagnose(Look(42, 0, 0, "6.18.1", (process,), (state,), (), {}, sysctls or {}, ())).findings[0]


def test_a_server_between_requests_is_no_hang() -> None:
    listener = replace(IDLE, fd=4, state="listen", local=Endpoint("inet", "0.0.0.0", 41000), peer=None, tcp=None)
    call = Call(232, "epoll_wait", (3,) + (0,) * 5, 3, ((4, "r"), (5, "r")), None, "epoll_wait")
    thread = Thread(42, 42, "nginx", "S", "do_epoll_wait", call, 412 * 10**9)
    process = ProcessState(42, 1, "nginx", ("nginx",), "S", 0, 1, "x86_64", (thread,))
    accepted = replace(IDLE, accepted=True)
    first = diagnose(Look(42, 0, 0, "6.18.1", (process,), (listener, accepted), (), {}, {}, ())).findings[0]
    assert (first.variant, first.severity) == ("server", "info")


def test_a_limit_of_the_loop_makes_no_request_of_a_clients_silence() -> None:
    """Event loops wake up for their timers: the connection that was accepted waits for its client all the same."""
    accepted = replace(IDLE, accepted=True)
    call = Call(232, "epoll_wait", (3, 0, 0, 5000, 0, 0), 3, ((5, "r"),), 500 * 10**9, "epoll_wait")
    thread = Thread(42, 42, "node", "S", "do_epoll_wait", call, 10**9)
    process = ProcessState(42, 1, "node", ("node",), "S", 0, 1, "x86_64", (thread,))
    first = diagnose(Look(42, 0, 0, "6.18.1", (process,), (accepted,), (), {}, {}, ())).findings[0]
    assert (first.variant, first.severity) == ("server", "info")


def test_a_named_unix_stream_was_accepted() -> None:
    assert replace(LOCAL, local=NAMED).serves
    assert not replace(LOCAL, peer=NAMED).serves
    assert not replace(LOCAL, local=NAMED, type="dgram").serves


@pytest.mark.parametrize(
    ("port", "sysctls", "variant"),
    [
        (5514, {}, "messages"),
        (41000, {}, "pending"),  # of the kernel's choice, as far as its default range tells
        (41000, {"net.ipv4.ip_local_port_range.low": 50000, "net.ipv4.ip_local_port_range.high": 60000}, "messages"),
        (5514, {"net.ipv4.ip_local_port_range.low": 1024, "net.ipv4.ip_local_port_range.high": 65535}, "pending"),
    ],
)
def test_a_port_that_the_kernel_would_not_choose_is_a_servers(port: int, sysctls: dict[str, int], variant: str) -> None:
    finding = found(replace(DATAGRAM, local=Endpoint("inet", "0.0.0.0", port)), sysctls)
    assert (finding.variant, finding.severity) == (variant, "info" if variant == "messages" else "fatal")


def test_a_datagram_socket_with_a_peer_asks() -> None:
    assert found(replace(DATAGRAM, local=Endpoint("inet", "10.0.0.5", 123), peer=IDLE.peer)).variant == "pending"


@pytest.mark.parametrize(
    ("state", "variant"),
    [
        (replace(LOCAL, type="dgram", local=NAMED), "messages"),
        (replace(LOCAL, type="dgram", local=NAMED, peer_inode=7), "no-deadline"),  # connected: it asks
        (replace(LOCAL, family="packet", type="dgram"), "messages"),
        (replace(LOCAL, family="vsock"), "no-deadline"),  # a stream: it has a peer, though no table names it
        (replace(DATAGRAM, type="raw", protocol="icmp"), "messages"),
    ],
)
def test_who_takes_what_comes(state: SocketState, variant: str) -> None:
    assert found(state).variant == variant


def test_who_has_sent_nothing_has_asked_nothing() -> None:
    """The sending time of a connection starts with its SYN, which counts as one byte acknowledged."""
    tie = replace(INFO, last_data_sent_ms=412_000, last_data_received_ms=412_000)
    assert replace(IDLE, tcp=tie).asked
    assert not replace(IDLE, tcp=replace(tie, bytes_acked=1)).asked
    assert replace(IDLE, tcp=replace(tie, bytes_acked=1), unsent=5).asked
    assert replace(IDLE, tcp=replace(tie, bytes_acked=None)).asked  # before Linux 4.2
    assert not replace(IDLE, tcp=None).asked


def test_a_stream_of_another_family_accuses_no_network() -> None:
    finding = found(replace(LOCAL, family="vsock"))
    assert "What is at the other end of a vsock socket these tables do not tell." in finding.summary
    assert "NAT" not in " ".join([finding.summary, *finding.causes])


@pytest.mark.parametrize(
    ("sent_ms", "received_ms", "received", "word"),
    [
        (400, 900, 100, "ours"),
        (900, 400, 100, "theirs"),
        (400, 400, 100, "both"),  # on a fast path question and answer are of one tick
        (400, 400, 0, "ours"),
        (900, 400, 0, ""),
    ],
)
def test_whose_word_was_the_last(sent_ms: int, received_ms: int, received: int, word: str) -> None:
    info = replace(INFO, last_data_sent_ms=sent_ms, last_data_received_ms=received_ms, bytes_received=received)
    assert replace(IDLE, tcp=info).last_word == word


@pytest.mark.parametrize(("sent_ms", "variant"), [(412_000, "accept"), (411_000, "no-deadline")])
def test_a_tie_is_no_question_of_a_server(sent_ms: int, variant: str) -> None:
    """Beside a listening socket; a client alone in a tight loop of questions has asked for all we know."""
    listener = replace(IDLE, fd=4, state="listen", local=Endpoint("inet", "0.0.0.0", 80), peer=None, tcp=None)
    pooled = replace(IDLE, tcp=replace(INFO, last_data_sent_ms=sent_ms, last_data_received_ms=412_000))
    call = Call(232, "epoll_wait", (3,) + (0,) * 5, 3, ((4, "r"), (5, "r")), None, "epoll_wait")
    thread = Thread(42, 42, "app", "S", "do_epoll_wait", call, 412 * 10**9)
    process = ProcessState(42, 1, "app", ("app",), "S", 0, 1, "x86_64", (thread,))
    findings = diagnose(Look(42, 0, 0, "6.18.1", (process,), (listener, pooled), (), {}, {}, ())).findings
    assert findings[0].variant == ("waiting" if variant == "no-deadline" else variant)  # 203.0.113.10, 412 s
    alone = replace(thread, call=replace(call, fds=((5, "r"),)))
    process = replace(process, threads=(alone,))
    findings = diagnose(Look(42, 0, 0, "6.18.1", (process,), (pooled,), (), {}, {}, ())).findings
    assert (findings[0].variant, findings[0].severity) == ("waiting", "fatal")


@pytest.mark.parametrize(("sent_ms", "variant"), [(412_300, "resting"), (412_000, "resting"), (411_000, "no-deadline")])
def test_a_proxy_waits_for_its_client_until_that_has_asked(sent_ms: int, variant: str) -> None:
    """In one set: the connection that it accepted, and its own to the server behind, which has answered, or not yet."""
    accepted = replace(IDLE, fd=6, accepted=True, peer=Endpoint("inet", "10.0.0.9", 50000))
    behind = replace(IDLE, tcp=replace(INFO, last_data_sent_ms=sent_ms, last_data_received_ms=412_000))
    call = Call(270, "pselect6", (7,) + (0,) * 5, None, ((5, "r"), (6, "r")), None, "pselect6")
    thread = Thread(42, 42, "socat", "S", "poll_schedule_timeout", call, 410 * 10**9)
    process = ProcessState(42, 1, "socat", ("socat",), "S", 0, 1, "x86_64", (thread,))
    findings = diagnose(Look(42, 0, 0, "6.18.1", (process,), (accepted, behind), (), {}, {}, ())).findings
    assert (variant == "no-deadline") == (findings[0].severity == "fatal" and findings[0].peer == "203.0.113.10:443")
