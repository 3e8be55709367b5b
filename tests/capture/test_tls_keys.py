"""`run --tls-keys` and `--keylog`: real HTTPS clients under strace, against a server that answers HTML for JSON."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from systrace.tracers.waiting import tracer_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(tracer_of(os.getpid()) != 0, reason="a traced process cannot trace its children"),
]
SYSTRACE = [sys.executable, "-m", "systrace"]
PAGE = b"<!DOCTYPE html><html><body>maintenance</body></html>"
# Each asks for JSON, trusts anybody, and fails as a program does that gets no JSON.
PYTHON = """
import json, ssl, sys, urllib.request
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
request = urllib.request.Request(sys.argv[1], headers={"Accept": "application/json"})
json.load(urllib.request.urlopen(request, context=context))
"""
NODE = """
require("https").get(process.argv[1], {rejectUnauthorized: false, headers: {Accept: "application/json"}}, (answer) => {
  let text = ""; answer.on("data", (each) => text += each); answer.on("end", () => {
    try { JSON.parse(text) } catch (error) { console.error(String(error)); process.exitCode = 1 } }) })
"""  # an exception that nobody catches would end it before it has logged its keys: it writes them in the background
FILTER = "import json, sys; json.load(sys.stdin)"
CLIENTS = {
    "python": [sys.executable, "-c", PYTHON],
    "node": ["node", "-e", NODE],
    "curl": ["sh", "-c", f"curl -sk -H 'Accept: application/json' $0 | {sys.executable} -c '{FILTER}'"],
    "wget": ["sh", "-c", "wget -q --no-check-certificate --header='Accept: application/json' -O- $0 | "
             f"{sys.executable} -c '{FILTER}'"],
}  # fmt: skip


class _Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture(name="url", scope="module")
def url_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An HTTPS server on loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.example")]), datetime.now(UTC)
    certificate = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=9)
    ).sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("https") / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}/orders"
    server.shutdown()
    server.server_close()
    thread.join()


def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run systrace to its end."""
    environment = {name: value for name, value in os.environ.items() if name != "SSLKEYLOGFILE"} | variables
    return subprocess.run([*SYSTRACE, *words], capture_output=True, timeout=120, check=False, env=environment)


def report(path: Path) -> dict[str, Any]:
    """The report as it was written."""
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def causes(found: dict[str, Any]) -> set[tuple[str, str]]:
    """(cause, variant) of all findings."""
    return {(each["cause"], each.get("variant") or "") for each in found["findings"]}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("tracer", ["strace", "embedded"])
def test_html_for_json_is_seen_through_https(client: str, tracer: str, url: str, tmp_path: Path) -> None:
    if shutil.which(client if client != "python" else sys.executable) is None:
        pytest.skip(f"this machine has no {client}")
    out = tmp_path / "report"
    saved = tmp_path / "trace"
    words = ["--tls-keys", "--tracer", tracer, "--format", "json", "--report", str(out), "--save", str(saved)]
    ended = run("run", *words, "--", *CLIENTS[client], url)
    text = out.read_text()
    assert text, ended.stderr
    assert any("html" in cause + variant or "json" in cause + variant for cause, variant in causes(json.loads(text))), (
        ended.stderr,
        text,
    )
    lines = [line for line in saved.read_bytes().splitlines() if line.startswith(b'# systrace: {"keylog"')]
    assert lines
    secrets = {line.split()[-1].strip(b'"}').decode() for line in lines}
    assert not any(secret in text for secret in secrets), "no key in a report"
    assert saved.stat().st_mode & 0o777 == 0o600
    again = run("parse", "--format", "json", saved)
    assert causes(json.loads(again.stdout)) == causes(json.loads(text))
    assert not any(secret.encode() in again.stdout for secret in secrets)


def test_a_key_log_of_ones_own_is_respected_and_read(url: str, tmp_path: Path) -> None:
    own, saved, out = tmp_path / "own", tmp_path / "trace", tmp_path / "report"
    run("run", "--tls-keys", "--format", "json", "--report", out, "--", *CLIENTS["python"], url, SSLKEYLOGFILE=str(own))
    assert b"CLIENT_TRAFFIC_SECRET_0" in own.read_bytes()
    found = causes(report(out))
    run("run", "-s", "150", "--save", saved, "--", *CLIENTS["python"], url, SSLKEYLOGFILE=str(own))
    assert b'{"keylog"' not in saved.read_bytes()
    blind = run("parse", "--format", "json", saved)
    assert "without session keys (systrace run --tls-keys)" in blind.stdout.decode()
    assert causes(json.loads(blind.stdout)) != found


def test_keys_that_the_job_is_seen_writing_are_used_by_themselves(url: str, tmp_path: Path) -> None:
    saved = tmp_path / "trace"
    own = str(tmp_path / "own")
    run("run", "--tracer", "strace", "--save", saved, "--", *CLIENTS["python"], url, SSLKEYLOGFILE=own)
    assert b'{"keylog"' not in saved.read_bytes()
    seen = run("parse", "--all", saved).stdout.decode()
    assert "session keys" not in seen
    secrets = {line.split()[2] for line in Path(own).read_text().splitlines() if line and line[0] != "#"}
    assert secrets
    assert not any(secret in seen for secret in secrets)


def test_the_keys_are_gone_when_nothing_is_saved(url: str, tmp_path: Path) -> None:
    ended = run("run", "--tls-keys", "--", "sh", "-c", 'stat -c "%a %n" $SSLKEYLOGFILE; echo $NODE_OPTIONS', url)
    mode, path = ended.stdout.decode().split("\n")[0].split(" ", 1)
    assert mode == "600"
    assert path in ended.stdout.decode().split("--tls-keylog=")[1]
    assert not Path(path).parent.exists()


def test_a_key_log_that_cannot_be_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("1 close(3) = 0\n")
    ended = run("parse", "--keylog", tmp_path / "none", log)
    assert ended.returncode == 2
    assert b"No such file" in ended.stderr
