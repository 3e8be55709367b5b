"""What the victims have in common."""

from __future__ import annotations

import ctypes
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def ready(*words: object) -> None:
    say("ready", *words)


def pair(host: str = "127.0.0.1", family: int = socket.AF_INET) -> tuple[socket.socket, socket.socket]:
    with socket.create_server((host, 0), family=family) as listener:
        client = socket.create_connection(listener.getsockname()[:2])
        return client, listener.accept()[0]
