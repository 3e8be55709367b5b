"""`--otlp URL`: one POST, and nobody waits for a collector that is not there."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from systrace.errors import SystraceError, UsageError
from systrace.telemetry import OUTLETS
from systrace.telemetry.outlets.otlp import endpoint, post

SLOWEST_S = 2.6  # two of the promise, the rest for a busy machine
Got = list[tuple[str, str, dict[str, str], bytes]]


@contextmanager
def collector(status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Iterator[tuple[str, Got]]:
    """A stub: its URL, and what it got."""
    got: Got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            got.append((self.command, self.path, dict(self.headers), body))
            self.send_response(status)
            for header in (*headers, ("Content-Length", "2")):
                self.send_header(*header)
            self.end_headers()
            self.wfile.write(b"{}")

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_words: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()


def test_exactly_one_post(monkeypatch: pytest.MonkeyPatch) -> None:
    """To /v1/traces, with what the environment adds."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b, authorization=Bearer%20t,broken")
    with collector() as (url, got):
        post(url, b'{"resourceSpans":[]}')
    ((method, path, headers, body),) = got
    assert (method, path, body) == ("POST", "/v1/traces", b'{"resourceSpans":[]}')
    assert headers["Content-Type"] == "application/json"
    assert {name.lower(): value for name, value in headers.items()}["x-tenant"] == "a b"


@pytest.mark.parametrize("status", [400, 404, 429, 503])
def test_a_refusal_is_said(status: int) -> None:
    """In one line, with the collector's word."""
    with collector(status) as (url, got), pytest.raises(SystraceError, match=r"/v1/traces: .*: the spans are lost"):
        post(url, b"{}")
    assert len(got) == 1


def test_redirects_are_not_followed() -> None:
    """It would become a GET, somewhere else."""
    with (
        collector() as (other, elsewhere),
        collector(302, (("Location", f"{other}/v1/traces"),)) as (url, got),
        pytest.raises(SystraceError, match="lost"),
    ):
        post(url, b"{}")
    assert (len(got), elsewhere) == (1, [])


def test_nobody_listens() -> None:
    """At once."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SystraceError, match="Connection refused"):
            post(f"http://127.0.0.1:{taken.getsockname()[1]}", b"{}")


@pytest.mark.parametrize("drips", [False, True], ids=["silent", "a byte now and then"])
def test_a_collector_that_hangs(drips: bool) -> None:
    """Costs two seconds in all, however it hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            connection, _peer = server.accept()
            held.append(connection)
            while drips:
                try:
                    connection.sendall(b"H")
                except OSError:
                    return
                time.sleep(0.2)

        threading.Thread(target=serve, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(SystraceError, match="lost"):
            post(f"http://127.0.0.1:{server.getsockname()[1]}", b"{}")
        assert time.monotonic() - began < SLOWEST_S
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
        ("https://c.example/otlp", "https://c.example/otlp/v1/traces"),
        ("https://c.example/v1/traces", "https://c.example/v1/traces"),
        ("http://[::1]:4318?x=1#y", "http://[::1]:4318/v1/traces?x=1"),
    ],
)
def test_where_it_goes(url: str, wanted: str) -> None:
    """The path is added where it is missing."""
    assert endpoint(url) == wanted


@pytest.mark.parametrize(
    "url",
    ["", "x", "localhost:4318", "file:///etc/passwd", "ftp://x", "http://", "http://a:b", "http://[", "http://a b"],
)
def test_no_url(url: str) -> None:
    """Is a line that says what one is."""
    with pytest.raises(UsageError, match="write a URL"):
        endpoint(url)


def test_no_password_in_it() -> None:
    """ps(1) would show it."""
    with pytest.raises(UsageError, match="OTEL_EXPORTER_OTLP_HEADERS"):
        endpoint("http://user:secret@localhost")


@pytest.mark.parametrize("headers", ["authorization: Bearer s3cr3t=", "authorization=Bearer%20s3cr3t%0A", "a b=s3cr3t"])
def test_headers_that_are_none_are_said_without_them(headers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    with pytest.raises(SystraceError, match="OTEL_EXPORTER_OTLP_HEADERS") as before:
        OUTLETS["otlp"].checked("http://127.0.0.1:1")
    with pytest.raises(SystraceError, match="OTEL_EXPORTER_OTLP_HEADERS") as after:
        post("http://127.0.0.1:1", b"{}")
    assert "s3cr3t" not in f"{before.value}{after.value}"
