"""The same with a real job, real servers on loopback, and two ways to record it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from systrace import analyze
from systrace.compare import compare
from systrace.compare.nouns import Comparison, Difference
from systrace.model import Analysis, Keep
from systrace.sources.logs import recordings
from tests.probes.certificates import Authority

pytestmark = [pytest.mark.real, pytest.mark.skipif(shutil.which("strace") is None, reason="not installed: strace")]

JOB = """
import http.client, json, sys, urllib.parse
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=3)
for number in range(4):
    connection.request("GET", f"/rows/{int(sys.argv[2]) + number}", headers={"Host": "api.example"})
    answer = connection.getresponse()
    if answer.status != 200:
        sys.exit(f"HTTP status {answer.status}")
    print(json.loads(answer.read()))
connection.request("POST", "/done", b"{}", {"Host": "api.example"})
if connection.getresponse().status != 200:
    sys.exit(1)
"""
Fault = Callable[[socket.socket], None]
HEAD = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"


def answer(
    status: bytes = b"200 OK", kind: bytes = b"application/json", body: bytes = b"[1, 2]", lost: int = 0
) -> Fault:
    """Send this; `lost`: bytes that are declared and do not come, but the end."""

    def send(connection: socket.socket) -> None:
        connection.sendall(HEAD % (status, kind, len(body) + lost, body))
        if lost:
            connection.shutdown(socket.SHUT_RDWR)

    return send


def reset(connection: socket.socket) -> None:
    """A reset in place of the answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def late(connection: socket.socket) -> None:
    """After a second and a half."""
    time.sleep(1.5)
    answer()(connection)


def never(_connection: socket.socket) -> None:
    """No answer."""


@contextlib.contextmanager
def serving(port: int, fault: Fault | None) -> Iterator[None]:
    """Answers; the third request meets the fault."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            met, held = 0, b""
            with contextlib.suppress(OSError):
                while data := self.request.recv(65536):
                    held += data
                    whole = b"\r\n\r\n" in held and (not held.startswith(b"POST") or held.endswith(b"{}"))
                    if whole:
                        met, held = met + 1, b""
                        (fault if fault is not None and met == 3 else answer())(self.request)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def recorded(place: Path, port: int, *words: str, first: int | str = 1, job: str = JOB) -> Analysis:
    """The job under `systrace run`, or under these words."""
    log = place / f"{len(list(place.iterdir()))}.strace"
    script = place / "export.py"
    script.write_text(job)
    run = [
        sys.executable,
        "-m",
        "systrace",
        "run",
        "--tracer",
        "strace",
        "--save",
        str(log),
        "--quiet-if-healthy",
        "--",
    ]
    lead = [each.replace("LOG", str(log)) for each in words] or run
    command = [*lead, sys.executable, "-I", "-S", str(script), str(port), str(first)]
    subprocess.run(command, check=False, capture_output=True, timeout=60)
    logs = [str(log)] if log.is_file() else sorted(map(str, place.glob(f"{log.name}.*")))
    return analyze(recordings(logs)[0][0].inputs, keep=Keep(exchanges=True))


@pytest.fixture(scope="module")
def good(port: int, tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    with serving(port, None):
        return recorded(tmp_path_factory.mktemp("good"), port)


def against(good: Analysis, place: Path, port: int, fault: Fault | None, *words: str, first: int = 1) -> Comparison:
    with serving(port, fault):
        return compare(good, recorded(place, port, *words, first=first))


def but_for_times(told: Comparison) -> list[Difference]:
    """A machine that runs other tests may take its time."""
    return [each for each in told.differences if each.kind != "time"]


FAULTS: dict[str, tuple[Fault, str, str]] = {
    "status": (answer(b"500 Internal Server Error", body=b'{"error": "no"}'), "cause", "http-error-status"),
    "html": (answer(kind=b"text/html", body=b"<html><title>Sign in</title></html>"), "cause", "html-instead-of-json"),
    "truncated": (answer(body=b'[1, 2, "', lost=99), "cause", "truncated-response"),
    "reset": (reset, "cause", "reset-by-peer"),
    "read timeout": (never, "cause", "read-timeout"),
    "slow": (late, "time", "the answer's first byte came after 1.5 s"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_culprit_comes_first(name: str, good: Analysis, port: int, tmp_path: Path) -> None:
    fault, kind, words = FAULTS[name]
    told = against(good, tmp_path, port, fault)
    assert told.differences[0].kind == kind, told.differences
    assert words in told.differences[0].text
    assert told.differences[0].peer == f"api.example:{port}"
    assert "/rows/3" in told.differences[0].step


def test_refused(good: Analysis, port: int, tmp_path: Path) -> None:
    told = compare(good, recorded(tmp_path, port))
    first = told.differences[0]
    assert (first.kind, first.good.split()[0], str(port) in first.peer) == ("cause", "connected", True), first
    assert "connect-refused" in first.text


RECORDERS = {
    "systrace run": (),
    "-f -tt": ("strace", "-f", "-tt", "-T", "-yy", "-s", "4096", "-o", "LOG"),
    "-ff -r": ("strace", "-ff", "-r", "-T", "-s", "4096", "-o", "LOG"),
    "-t": ("strace", "-f", "-t", "-T", "-y", "-s", "65535", "-o", "LOG"),
}


@pytest.mark.parametrize("name", RECORDERS)
def test_two_good_runs_have_no_difference_that_matters(name: str, good: Analysis, port: int, tmp_path: Path) -> None:
    told = against(good, tmp_path, port, None, *RECORDERS[name], first=301)
    assert not but_for_times(told), told.differences
    assert told.alike >= 6


TLS_JOB = """
import http.client, json, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
connection = http.client.HTTPSConnection("localhost", int(sys.argv[1]), timeout=3, context=context)
connection.request("GET", "/rows")
print(json.loads(connection.getresponse().read()))
"""


def over_tls(place: Path, port: int, days: int) -> Analysis:
    """The job asks a server whose certificate has so many days left."""
    place.mkdir()
    authority = Authority(place)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.signed("localhost", days))

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(self.request, server_side=True) as connection:
                connection.recv(65536)
                answer()(connection)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            return recorded(place, port, job=TLS_JOB, first=str(authority.path))
        finally:
            server.shutdown()


def test_a_certificate_that_has_expired(port: int, tmp_path: Path) -> None:
    good, bad = over_tls(tmp_path / "good", port, 90), over_tls(tmp_path / "bad", port, -1)
    first = compare(good, bad).differences[0]
    assert (first.kind, first.peer.rpartition(":")[2], first.failed) == ("cause", str(port), True), first
    assert "tls-error" in first.text


def test_two_good_runs_over_tls(port: int, tmp_path: Path) -> None:
    good, again = over_tls(tmp_path / "good", port, 90), over_tls(tmp_path / "again", port, 90)
    told = compare(good, again)
    assert not but_for_times(told), told.differences
