"""A stand-in for EC2's instance metadata service, version 2, and for the task metadata of ECS.

usage: python tests/cloud/imds.py ADDRESS PORT: prints its port, serves until it is killed.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAC = "0e:49:61:0f:c3:11"
PAGES = {
    "/latest/meta-data/mac": MAC,
    f"/latest/meta-data/network/interfaces/macs/{MAC}/interface-id": "eni-job",
    "/v4/abc/task": json.dumps(
        {"Containers": [{"Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.1.10"], "MACAddress": MAC}]}]}
    ),
}


class Metadata(BaseHTTPRequestHandler):
    """A token first, as version 2 has it."""

    def do_PUT(self) -> None:
        wanted = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self._answer("token" if wanted else None)

    def do_GET(self) -> None:
        needs_token = self.path.startswith("/latest/")
        known = not needs_token or self.headers["X-aws-ec2-metadata-token"] == "token"
        self._answer(PAGES.get(self.path) if known else None)

    def _answer(self, text: str | None) -> None:
        body = (text or "").encode()
        self.send_response(200 if text is not None else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Metadata)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
