"""A loopback server with the answers that jobs choke on, and jobs recorded against it by the real strace."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

JSON_CUT = b'{"rows": [1, 2, 3'
HTML = b"<html><title>502 Bad Gateway</title></html>\n"
CHUNKS = (b'{"a": 1,\n', b' "password": "hunter2"}\n')
BIG = bytes(range(256)) * 4096  # a megabyte that no report keeps whole
MISSING = [name for name in ("strace", "curl", "jq") if shutil.which(name) is None]
REASON = f"not installed: {', '.join(MISSING)}"


class Answers(BaseHTTPRequestHandler):
    """/chunked, /gzip, /big, and HTML for all else."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/chunked":
            self._head(200, "application/json", ("Transfer-Encoding", "chunked"), ("Set-Cookie", "sid=verysecret"))
            for chunk in (*CHUNKS, b""):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            return
        body, status, kind = HTML, 502, "text/html"
        fields = []
        if path == "/gzip":
            body, status, kind = gzip.compress(JSON_CUT), 200, "application/json"
            fields = [("Content-Encoding", "gzip")]
        elif path == "/big":
            body, status, kind = BIG, 200, "application/octet-stream"
        self._head(status, kind, *fields, ("Content-Length", str(len(body))))
        self.wfile.write(body)

    def _head(self, status: int, kind: str, *fields: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), *fields):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The server's URL, while it serves."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def recorded(path: Path, *command: str, strings: int = 65536) -> Path:
    """The log of a job under strace -f -ttt -T -s STRINGS."""
    options = ["-f", "-ttt", "-T", "-yy", "-s", str(strings), "-o", str(path)]
    subprocess.run(["strace", *options, *command], check=False, capture_output=True, timeout=60)
    return path
