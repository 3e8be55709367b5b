"""A real nginx behind a NAT that forgets: its own access log bounds what the trace only suggests."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab import network
from tests.lab.network import SERVER, Lab
from tests.lab.recording import python

FORBIDDEN = network.forbidden() or ("" if shutil.which("nginx") else "not installed: nginx")
pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(FORBIDDEN), reason=FORBIDDEN or "-")]
CONFIGURATION = """
daemon off; pid {here}/pid; error_log {here}/errors; user root;
events {{}}
http {{
  log_format timed '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "-" "agent" $request_time';
  access_log {here}/access timed;
  client_body_temp_path {here}/a; proxy_temp_path {here}/b; fastcgi_temp_path {here}/c; uwsgi_temp_path {here}/d;
  scgi_temp_path {here}/e;
  server {{ listen {address}:80; location / {{ proxy_pass http://127.0.0.1:8080; }} }}
}}
"""
UPSTREAM = """
import http.server, time
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(self.path.rpartition("=")[2]))
        self.send_response(200); self.send_header("Content-Length", "3"); self.end_headers(); self.wfile.write(b"ok\\n")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Slow).serve_forever()
"""
CLIENT = f"""
import socket
s = socket.create_connection(("{SERVER}", 80), timeout=LIMIT)
s.sendall(b"GET /report?takes=TAKES HTTP/1.0\\r\\nHost: reports.example\\r\\n\\r\\n")
try: print(s.recv(9999))
except TimeoutError: raise SystemExit(1)
"""
Report = dict[str, Any]


def played(
    tmp_path: Path, takes: float, limit: float, fault: Callable[[Lab], None] | None
) -> tuple[Report, Report, str]:
    """(the report of the recording alone, with the server's log, that log) of a client that waits for at most `limit`."""
    recording, log = tmp_path / "job.strace", tmp_path / "access"
    (tmp_path / "nginx.conf").write_text(CONFIGURATION.format(here=tmp_path, address=SERVER))
    with Lab() as lab:
        upstream = lab.server.popen(sys.executable, "-I", "-c", UPSTREAM)
        nginx = lab.server.popen("nginx", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path))
        try:
            _await(lambda: "LISTEN" in lab.server.run("ss", "-Hltn", "sport = :80").stdout)
            _await(lambda: "LISTEN" in lab.server.run("ss", "-Hltn", "sport = :8080").stdout)
            if fault is not None:
                fault(lab)
            words = [sys.executable, "-m", "systrace", "run", "--tracer", "strace", "--save", str(recording), "--"]
            client = python(CLIENT.replace("LIMIT", str(limit)).replace("TAKES", str(takes)))
            lab.client.run(*words, *client, check=False, timeout=60)
            _await(lambda: log.exists() and log.read_text() != "")
        finally:
            for process in (nginx, upstream):
                process.terminate()
                process.wait()
    return parse(recording), parse(recording, "--server-log", str(log)), log.read_text()


def _await(ready: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.05)


def parse(recording: Path, *options: str) -> Report:
    words = [sys.executable, "-m", "systrace", "parse", "--format", "json", *options, str(recording)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    found: Report = json.loads(done.stdout)
    return found


def test_the_answer_was_sent_and_the_nat_had_forgotten(tmp_path: Path) -> None:
    alone, told, log = played(tmp_path, 5, 9, lambda lab: network.forgetful_nat(lab, 2))
    assert '" 200 3 ' in log
    assert alone["findings"][0]["variant"] != "answer-lost"
    first = told["findings"][0]
    assert (told["verdict"]["cause"], first["variant"], first["confidence"]) == (
        "idle-timeout",
        "answer-lost",
        "confirmed",
    )
    assert told["verdict"]["peer"] == f"{SERVER}:80"
    seen = [moment["text"] for moment in told["course"] if moment["who"] == "the server's side"]
    assert re.fullmatch(r"answered after 5\.\d\d s \(200\)", " ".join(seen))


def test_a_slow_server_is_to_blame_where_it_saw_the_client_go(tmp_path: Path) -> None:
    _alone, told, log = played(tmp_path, 8, 3, None)
    assert '" 499 ' in log
    first = told["findings"][0]
    assert (told["verdict"]["cause"], told["verdict"]["peer"]) == ("read-timeout", f"{SERVER}:80")
    assert "499" in first["summary"]
    assert "still working" in first["causes"][0]
