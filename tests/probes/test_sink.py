"""The far end of an idle test: it accepts, says nothing, and tells how long each connection stood."""

import contextlib
import socket
import threading
import time

import pytest

from systrace.errors import CaptureError
from systrace.probes.idle.judging import judge
from systrace.probes.idle.silence import Silences
from systrace.probes.sink import listen, serve


def test_it_holds_connections_and_says_nothing() -> None:
    """Until the peer ends them, or the time is over: then they are closed."""
    said: list[str] = []
    with listen("127.0.0.1", 0) as listener:
        where = listener.getsockname()
        thread = threading.Thread(target=serve, args=(listener, said.append, 1.5))
        thread.start()
        with socket.create_connection(where) as one:
            one.sendall(b"thrown away")
        with socket.create_connection(where, timeout=5) as two:
            began = time.monotonic()
            assert two.recv(1) == b""
            assert time.monotonic() - began > 1
        thread.join()
    assert [line.split(" ", 1)[1].split(" after")[0] for line in said] in (
        ["connected (1 held)", "ended", "connected (1 held)"],
        ["connected (1 held)", "connected (2 held)", "ended"],
    )


def test_both_families_are_served_unless_one_is_named() -> None:
    with listen("", 0) as listener:
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])):
            socket.create_connection((address, port), timeout=5).close()


def test_a_port_that_is_taken_is_said() -> None:
    with listen("127.0.0.1", 0) as listener, pytest.raises(CaptureError, match="in use"):
        listen("127.0.0.1", listener.getsockname()[1])


def test_silences_against_it_are_survived() -> None:
    """The clock of a silence begins anew when the peer speaks."""
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=serve, args=(listener, lambda _: None, 4))
        thread.start()
        test = Silences("127.0.0.1", listener.getsockname()[1], [0.5, 1.2], 1, 1)
        ticks: list[float] = []
        test.run(ticks.append)
        thread.join()
    assert [each.outcome for each in test.all] == ["alive"] * 3
    assert [each.after_s for each in test.silents] == [pytest.approx(0.5, abs=0.2), pytest.approx(1.2, abs=0.2)]
    assert ticks == sorted(ticks)
    assert all(each.socket is None for each in test.all)


def test_a_peer_that_never_stops_speaking_leaves_no_silence() -> None:
    """The test ends all the same, and claims nothing."""

    def chatter(listener: socket.socket) -> None:
        held = [listener.accept()[0] for _ in range(2)]
        for _ in range(40):
            for each in held:
                with contextlib.suppress(OSError):
                    each.sendall(b".")
            time.sleep(0.1)
        for each in held:
            each.close()

    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=chatter, args=(listener,))
        thread.start()
        test = Silences("127.0.0.1", listener.getsockname()[1], [0.8], 1, 1)
        test.run()
        thread.join()
    assert test.silents[0].outcome == "untried"
    assert judge(test.silents, test.controls, ()).kind == "unclear"
