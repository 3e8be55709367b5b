"""nginx, asked by curl, nghttp, and by hand: HTTP/1, HTTP/2 in clear and TLS."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.messages.http import Http2Error, HttpRequest, HttpResponse
from systrace.messages.tls import TlsAlert, TlsHello
from systrace.model import Message
from tests.decoders.recordings import Recording
from tests.decoders.relay import Relay, Said
from tests.decoders.servers import decoded, directory, free_port, needs, record, run, serving
from tests.decoders.test_recorded import in_steps, messages

pytestmark = [pytest.mark.real, needs("nginx", "curl", "openssl", "nghttp")]

REPORT = "".join(f"{n};item {n};{n * 7 % 100}.50\n" for n in range(600)).encode()


class Ports:
    """Where nginx listens: for HTTP/1, HTTP/2 in clear, and TLS."""

    def __init__(self) -> None:
        self.http, self.http2, self.tls = free_port(), free_port(), free_port()


@pytest.fixture(name="nginx", scope="module")
def start_nginx() -> Iterator[tuple[Ports, Path]]:
    """(ports, the directory with ca.pem)."""
    with directory() as home:
        argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        argv += ["-days", "2", "-subj", "/CN=web.example", "-addext", "subjectAltName=DNS:web.example"]
        made = run(*argv, "-keyout", f"{home}/key.pem", "-out", f"{home}/ca.pem")
        assert made.returncode == 0, made.stderr
        Path(home, "files").mkdir()
        Path(home, "files/report.csv").write_bytes(REPORT)
        Path(home, "files/empty.json").write_bytes(b"")
        ports = Ports()
        rules = (
            "root files; default_type text/plain; types { text/csv csv; application/json json; }\n"
            "gzip on; gzip_types text/csv; gzip_min_length 100; keepalive_timeout 5;\n"
            'location /old { return 302 /report.csv; } location /broken { return 503 \'{"error": "later"}\'; }\n'
            "location /api { return 200 '{\"rows\": [1, 2]}'; } location /none { return 204; }\n"
        )
        Path(home, "conf").write_text(
            f"daemon off; master_process off; pid {home}/pid; error_log {home}/errors;\nevents {{ }}\nhttp {{\n"
            + "".join(
                f"{kind}_temp_path {home}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + f"access_log off;\nserver {{ listen 127.0.0.1:{ports.http}; {rules} }}\n"
            f"server {{ listen 127.0.0.1:{ports.http2} http2; {rules} }}\n"
            f"server {{ listen 127.0.0.1:{ports.tls} ssl http2; ssl_certificate {home}/ca.pem;\n"
            f"ssl_certificate_key {home}/key.pem; ssl_protocols TLSv1.2 TLSv1.3; {rules} }}\n}}\n"
        )
        shutil.chown(home, "root")
        with serving(["nginx", "-p", str(home), "-c", f"{home}/conf"], ports.http, home / "log"):
            yield ports, home


def curl(port: int, *words: str, scheme: str = "http") -> tuple[int, bytes]:
    """(status, output) of curl; {} in a word stands for the server's address."""
    done = run(
        "curl", "-sS", "--max-time", "20", *(word.replace("{}", f"{scheme}://127.0.0.1:{port}") for word in words)
    )
    return done.returncode, done.stdout.encode()


def by_hand(port: int, request: bytes) -> bytes:
    """All that a server answers to these bytes until it closes."""
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(request)
        answer = b""
        while data := client.recv(65536):
            answer += data
    return answer


def view(messages: list[Message]) -> list[tuple[object, ...]]:
    """Requests and answers, shortly."""
    rows: list[tuple[object, ...]] = []
    for message in messages:
        if isinstance(message, HttpRequest):
            rows.append((message.method, message.path, message.complete))
        elif isinstance(message, HttpResponse):
            rows.append((message.status, message.content_type, message.received_length, message.complete))
    return rows


def answers(messages: list[Message]) -> list[HttpResponse]:
    """The final ones."""
    return [message for message in messages if isinstance(message, HttpResponse) and not message.interim]


class TestHttp1:
    """HTTP/1.1 in clear."""

    @pytest.mark.parametrize("step", [0, 1, 1000])
    def test_one_connection_for_many_requests(self, nginx: tuple[Ports, Path], step: int) -> None:
        with Relay(nginx[0].http) as relay:
            paths = [f"{{}}/{name}" for name in ("report.csv", "api", "none", "missing", "broken", "empty.json")]
            status, output = curl(relay.port, *paths)
            messages = decoded(relay.conversation(), "http", step)
        assert status == 0
        assert [row for row in view(messages) if len(row) == 4] == [
            (200, "text/csv", len(REPORT), True),
            (200, "text/plain", 16, True),
            (204, "", 0, True),
            (404, "text/html", 153, True),
            (503, "text/plain", 18, True),
            (200, "application/json", 0, True),
        ]
        known = b"".join(a.body.data() for a in answers(messages) if a.body is not None)
        assert known.replace(b"\r\n", b"\n") == output
        assert all(a.request is not None and a.request.answered for a in answers(messages))

    @pytest.mark.parametrize("step", [0, 1])
    def test_compressed_and_chunked(self, nginx: tuple[Ports, Path], step: int) -> None:
        with Relay(nginx[0].http) as relay:
            _, output = curl(relay.port, "--compressed", "{}/report.csv")
            (answer,) = answers(decoded(relay.conversation(), "http", step))
        assert output == REPORT
        assert (answer.framing, answer.complete) == ("chunked", True)
        assert answer.body is not None
        assert answer.body.encodings == ("gzip",)
        assert answer.body.data() == REPORT

    def test_head_range_and_conditions(self, nginx: tuple[Ports, Path]) -> None:
        with Relay(nginx[0].http) as relay:
            part, known = ("-r", "10-19"), ("-H", "If-None-Match: *")
            more = (word for words in (part, known) for word in ("--next", "-sS", *words, "{}/report.csv"))
            curl(relay.port, "-I", "{}/report.csv", *more)
            found = answers(decoded(relay.conversation(), "http"))
        assert [(a.status, a.framing, a.received_length) for a in found] == [
            (200, "none", 0), (206, "length", 10), (304, "none", 0),
        ]  # fmt: skip
        assert found[0].header("content-length") == str(len(REPORT))

    @pytest.mark.parametrize("step", [0, 1])
    def test_pipelined(self, nginx: tuple[Ports, Path], step: int) -> None:
        last = b"GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        with Relay(nginx[0].http) as relay:
            by_hand(
                relay.port,
                b"GET /report.csv HTTP/1.1\r\nHost: a\r\n\r\nGET /missing HTTP/1.1\r\nHost: a\r\n\r\n" + last,
            )
            messages = decoded(relay.conversation(), "http", step)
        assert [a.status for a in answers(messages)] == [200, 404, 200]
        assert [a.request.path for a in answers(messages) if a.request] == ["/report.csv", "/missing", "/api"]

    def test_what_nginx_refuses(self, nginx: tuple[Ports, Path]) -> None:
        with Relay(nginx[0].http) as relay:
            by_hand(relay.port, b"GET /a b HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n")
            found = answers(decoded(relay.conversation(), "http"))
        assert [(a.status, a.complete) for a in found] == [(400, True)]

    def test_tls_spoken_to_a_plain_port(self, nginx: tuple[Ports, Path]) -> None:
        with Relay(nginx[0].http) as relay:
            status, _ = curl(relay.port, "-k", "{}/", scheme="https")
            said = relay.conversation()
        assert status == 35
        assert said[0][1][:1] == b"\x16"
        assert b"400 Bad Request" in said[1][1]

    def test_an_upload_is_announced_and_awaited(self, nginx: tuple[Ports, Path]) -> None:
        with Relay(nginx[0].http) as relay:
            curl(relay.port, "-H", "Expect: 100-continue", "-d", "x" * 5000, "{}/api")
            messages = decoded(relay.conversation(), "http")
        asked = [message for message in messages if isinstance(message, HttpRequest)]
        assert [(a.method, a.received_length, a.complete) for a in asked] == [("POST", 5000, True)]


class TestHttp2:
    """HTTP/2 without TLS."""

    @pytest.mark.parametrize("step", [0, 1, 1000])
    def test_many_streams(self, nginx: tuple[Ports, Path], step: int) -> None:
        with Relay(nginx[0].http2) as relay:
            run(
                "nghttp", "-n", *(f"http://127.0.0.1:{relay.port}/{name}" for name in ("report.csv", "missing", "none"))
            )
            messages = decoded(relay.conversation(), "http2", step)
        found = {a.request.path: a for a in answers(messages) if a.request is not None}
        assert {path: (a.status, a.complete) for path, a in found.items()} == {
            "/report.csv": (200, True), "/missing": (404, True), "/none": (204, True),
        }  # fmt: skip
        body = found["/report.csv"].body
        assert body is not None
        assert body.data() == REPORT
        assert {m.name for m in messages if isinstance(m, Http2Error)} <= {"NO_ERROR"}

    def test_compressed(self, nginx: tuple[Ports, Path]) -> None:
        with Relay(nginx[0].http2) as relay:
            curl(relay.port, "--http2-prior-knowledge", "--compressed", "{}/report.csv")
            (answer,) = answers(decoded(relay.conversation(), "http2"))
        assert answer.body is not None
        assert answer.body.data() == REPORT


class TestTls:
    """Hellos and alerts in clear."""

    @staticmethod
    def said(nginx: tuple[Ports, Path], *words: str, expected: int = 0) -> Said:
        with Relay(nginx[0].tls) as relay:
            status, _ = curl(
                relay.port, "--connect-to", f"web.example:443:127.0.0.1:{relay.port}", *words, "https://web.example/api"
            )
            assert status == expected
            return relay.conversation()

    @pytest.mark.parametrize(("most", "spoken"), [("1.2", "1.2"), ("1.3", "1.3")])
    @pytest.mark.parametrize("step", [0, 1])
    def test_hellos(self, nginx: tuple[Ports, Path], most: str, spoken: str, step: int) -> None:
        said = self.said(nginx, "--cacert", f"{nginx[1]}/ca.pem", "--tls-max", most)
        client, server = (m for m in decoded(said, "tls", step) if isinstance(m, TlsHello))
        assert (client.sni, client.alpn) == ("web.example", ("h2", "http/1.1"))
        assert server.versions == (spoken,)
        if spoken == "1.2":
            assert server.alpn == ("h2",)

    @pytest.mark.parametrize("words", [("--tls-max", "1.2"), ("--http1.1",), ("--tls-max", "1.2", "--http1.1"), ()])
    def test_with_session_keys(self, nginx: tuple[Ports, Path], words: tuple[str, ...], tmp_path: Path) -> None:
        keys = tmp_path / "keys"
        with Relay(nginx[0].tls) as relay:
            where = ("-k", "--connect-to", f"web.example:443:127.0.0.1:{relay.port}")
            urls = ("https://web.example/api", "https://web.example/missing")
            argv = ["curl", "-sS", "--compressed", *where, *words, *urls, "https://web.example/report.csv"]
            run(*argv, env={"SSLKEYLOGFILE": str(keys)})
            said = relay.conversation()
        keylog = "".join(f"{line}\n" for line in keys.read_text().splitlines() if not line.startswith("#"))
        record(said, "tls", keylog)
        recording = Recording("with-keys", "tls", "", tuple(said), keylog)
        for in_calls in (said, list(in_steps(said, 7))):
            found = answers(messages(recording, in_calls))
            assert [(a.status, a.complete) for a in found] == [(200, True), (404, True), (200, True)]
            assert found[2].body is not None
            assert found[2].body.data() == REPORT

    def test_an_unknown_authority(self, nginx: tuple[Ports, Path]) -> None:
        said = self.said(nginx, "--tls-max", "1.2", expected=60)
        alerts = [m for m in decoded(said, "tls") if isinstance(m, TlsAlert)]
        assert [(a.name, a.by_client) for a in alerts][:1] == [("unknown_ca", True)]

    def test_no_common_version(self, nginx: tuple[Ports, Path]) -> None:
        said = self.said(nginx, "--tls-max", "1.1", "--tlsv1.1", "--ciphers", "DEFAULT@SECLEVEL=0", expected=35)
        alerts = [m for m in decoded(said, "tls") if isinstance(m, TlsAlert)]
        assert [(a.name, a.by_client, a.level) for a in alerts] == [("protocol_version", False, "fatal")]
