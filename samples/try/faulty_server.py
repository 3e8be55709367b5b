#!/usr/bin/env python3
"""A report server that takes every request and never answers. Loopback only.

usage: faulty_server.py [PORT]    prints `listening on 127.0.0.1:PORT` once clients may come; 0 takes any free port
"""

import socket
import sys


def main() -> int:
    """Serve until ended."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 18080
    waiting = []  # keeps the connections open: closing one would be an answer of a kind
    with socket.create_server(("127.0.0.1", port)) as listener:
        sys.stdout.write(f"listening on 127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            client, _ = listener.accept()
            waiting.append(client)
            client.recv(65536)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        sys.exit(f"faulty_server: {error}")
