"""HEAD has an end."""

import contextlib
import socket
import threading
import time

import pytest

from systrace.probes.asking import Allowed, Round
from systrace.probes.kinds import http
from systrace.probes.target import Target


def test_an_answer_that_trickles_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the whole does not."""
    monkeypatch.setattr(http, "_ANSWER_S", 0.5)
    over = threading.Event()

    def trickle(listener: socket.socket) -> None:
        one, _ = listener.accept()
        with one, contextlib.suppress(OSError):
            while not over.wait(0.1):
                one.send(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=trickle, args=(listener,), daemon=True)
        serving.start()
        port = listener.getsockname()[1]
        target = Target("127.0.0.1", port, url=f"http://127.0.0.1:{port}/")
        began = time.monotonic()
        asking = Round(target, Allowed(http=True), began + 20, [])
        asking.begin("http", 10)
        asking.note("peer-listens", "", address="127.0.0.1", outcome="open")
        http.http(target, asking)
        took = time.monotonic() - began
        over.set()
        serving.join(5)
    assert asking.found[-1].value["cause"] == "slow-response"
    assert took < 5
