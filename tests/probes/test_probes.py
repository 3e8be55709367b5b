"""The probes as a whole, on loopback, and what their answers amount to."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from systrace.observations import KINDS, Observation
from systrace.probes import PROBES, fitting, longest_s, run
from systrace.probes.asking import Allowed, Round
from systrace.probes.concluding import FINE, FOUND, UNKNOWN, conclude
from systrace.probes.target import Target
from systrace.probes.tcp import Dial, TcpInfo, dial, exchange
from systrace.probes.telling import lines, plain
from systrace.rules.pages import pages

HERE = "127.0.0.1"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HERE, 0)) as one:
        yield one


def port_of(one: socket.socket) -> int:
    return int(one.getsockname()[1])


@pytest.fixture
def closed() -> Iterator[int]:
    """Taken, so that nobody else gets it, and nobody listens."""
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        yield port_of(taken)


def noted(**value: object) -> Observation:
    return Observation("peer-listens", "192.0.2.1:80", {"probe": "x", "text": "it is so", **value})


def test_every_probe_says_what_it_separates_and_has_an_end() -> None:
    assert {"names", "connect", "path", "mtu", "tls", "proxy", "http", "greeting"} <= set(PROBES)
    for each in PROBES.values():
        assert each.separates
        assert 0 < each.most_s <= 30


def test_without_leave_nothing_is_sent() -> None:
    """Of the probes that send, none fits."""
    target = Target("192.0.2.1", 8080, url="http://192.0.2.1:8080/")
    assert not {each.name for each in fitting(target, Allowed())} & {"mtu", "tls", "http", "proxy"}
    assert {"mtu", "http"} <= {each.name for each in fitting(target, Allowed(http=True))}
    assert {"mtu", "tls"} <= {each.name for each in fitting(target, Allowed(tls=True))}
    assert longest_s([target], Allowed()) < longest_s([target], Allowed(http=True))


def test_a_listener_is_fine_and_a_closed_port_is_refused(listener: socket.socket, closed: int) -> None:
    fine, refused = run([Target(HERE, port_of(listener))]), run([Target(HERE, closed)])
    assert (conclude(fine).status, conclude(fine).cause) == (FINE, "healthy")
    assert (conclude(refused).status, conclude(refused).cause) == (FOUND, "connect-refused")
    for each in [*fine, *refused]:
        assert each.kind in KINDS
        assert Observation.of({"kind": each.kind, "subject": each.subject, "value": each.value}) is not None
        assert each.value["probe"] in PROBES
        assert each.value.get("cause", "healthy") in pages()


def test_the_deadline_holds(listener: socket.socket) -> None:
    """What cannot be asked in time is not asked; what is known is in the list that was given."""
    found: list[Observation] = []
    run([Target(HERE, port_of(listener))], deadline_s=0, found=found)
    assert found == []
    assert conclude(found).status == UNKNOWN


@pytest.mark.parametrize(
    ("says", "cause"), [(b"220 mail.example ESMTP\r\n", ""), (b"", "empty-reply")], ids=["greets", "closes"]
)
def test_a_greeting_is_read(listener: socket.socket, says: bytes, cause: str) -> None:
    def serve() -> None:
        for _ in range(4):
            one, _ = listener.accept()
            with one:
                if says:
                    one.sendall(says)

    threading.Thread(target=serve, daemon=True).start()
    found = run([Target(HERE, port_of(listener), protocol="smtp")])
    assert found[-1].value["probe"] == "greeting"
    assert found[-1].value.get("cause", "") == cause
    assert ("mail.example" in found[-1].value["text"]) == bool(says)


@pytest.mark.parametrize(
    ("answer", "cause"), [(b"200 OK", ""), (b"403 Forbidden", "http-error-status"), (b"407 x", "")]
)
def test_a_proxy_is_asked_for_the_tunnel(listener: socket.socket, answer: bytes, cause: str) -> None:
    """The host behind it is not asked directly."""

    def serve() -> None:
        one, _ = listener.accept()
        with one:
            asked = one.recv(4096)
            assert asked.startswith(b"CONNECT api.example:443 HTTP/1.1\r\n")
            assert b"uthorization" not in asked
            one.sendall(b"HTTP/1.1 " + answer + b"\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    (found,) = run([Target("api.example", 443, proxy=(HERE, port_of(listener)))])
    assert found.value.get("cause", "") == cause


def test_the_first_fault_is_the_verdict_with_the_place_where_it_fails() -> None:
    blocked = Observation("path-blocked", "192.0.2.1:80", {"text": "SYNs die after hop 2"})
    answer = conclude([noted(), noted(cause="connect-timeout", failed=3), blocked, noted(cause="tls-error")])
    assert (answer.cause, answer.text) == ("connect-timeout", "it is so; SYNs die after hop 2")


def test_what_is_unknown_is_not_fine() -> None:
    unknown = Observation("mtu", "a:1", {"outcome": "unknown", "text": "unknown"})
    assert conclude([unknown]).status == UNKNOWN


def test_the_answer_is_told_safely() -> None:
    """What a peer says is no command to the terminal; lines are as wide as asked."""
    told = lines("a:1", conclude([noted()]), [noted(text="x\x1b[2J " + "word " * 30)], ["do this"], 60)
    assert not any("\x1b" in line for line in told)
    assert max(map(len, told)) <= 60
    assert told[-1] == "- do this"
    assert plain("a:1", conclude([noted()]), [noted()], [])["verdict"]["outcome"] == "fine"


def test_connections_are_counted() -> None:
    asking = Round(Target("a", 22), Allowed(), time.monotonic(), [])
    assert [asking.take(4), asking.take(4), asking.take(1)] == [4, 2, 0]
    assert asking.time_left(5) == 0


def test_a_dial_tells_what_the_kernel_knows(listener: socket.socket) -> None:
    each = Dial(HERE, port_of(listener))
    dial([each], 1, keep=True)
    assert each.socket is not None
    with each.socket as one:
        info = TcpInfo.of(one)
        assert (each.outcome, each.syns, info.unacked, info.total_retrans) == ("open", 1, 0, 0)
        assert info.pmtu >= 1500
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"ab")
            assert exchange(one, b"x", 1, lambda came: len(came) == 2) == b"ab"
            assert peer.recv(1) == b"x"
