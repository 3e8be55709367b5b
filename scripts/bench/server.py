"""The server that the jobs of `bench_tracers` talk to: HTTP with keep-alive, plain and over TLS, in a process of its own.

    server.py CERTIFICATE

CERTIFICATE is a PEM file with its key, or "-": no TLS. It prints both ports (0: none), and serves until its input ends.
"""

import asyncio
import ssl
import sys
from typing import cast

BODY = b"x" * 2900
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Web(asyncio.Protocol):
    """The same answer to each request without a body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client."""
        self.client = cast(asyncio.Transport, transport)
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        """Requests, or parts of one."""
        *requests, self.heard = (self.heard + data).split(b"\r\n\r\n")
        self.client.write(ANSWER * len(requests))


async def serve(certificate: str) -> None:
    """Until the starter has gone."""
    loop = asyncio.get_running_loop()
    ports = []
    for secured in (False, True):
        context = None
        if secured:
            if certificate == "-":
                ports.append(0)
                continue
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
        server = await loop.create_server(Web, "127.0.0.1", 0, ssl=context, backlog=4096)
        ports.append(server.sockets[0].getsockname()[1])
    print(*ports, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
