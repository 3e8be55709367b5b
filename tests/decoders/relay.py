"""A TCP relay on loopback that records what both sides say, in the order in which it came."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import Self

CHUNK = 65536
LIMIT_S = 30.0

Said = list[tuple[bool, bytes, int]]  # (by the client, bytes, missing bytes after them: none)


class Relay:
    """Listens on `port` of 127.0.0.1 and passes each connection on to `target`; `said` has one list a connection."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.said: list[Said] = []
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(LIMIT_S)

    def conversation(self, index: int = -1) -> Said:
        """What was said on one connection, once that has ended on both sides."""
        for thread in self._threads:
            thread.join(LIMIT_S)
        return self.said[index]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            said: Said = []
            self.said.append(said)
            thread = threading.Thread(target=self._serve, args=(client, said), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, said: Said) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target), LIMIT_S) as server:
            server.settimeout(None)
            with selectors.DefaultSelector() as selector:
                selector.register(client, selectors.EVENT_READ, (True, server))
                selector.register(server, selectors.EVENT_READ, (False, client))
                while selector.get_map():
                    for key, _ in selector.select():
                        from_client, other = key.data
                        self._pass_on(selector, key.fileobj, from_client, other, said)  # type: ignore[arg-type]

    @staticmethod
    def _pass_on(
        selector: selectors.BaseSelector, source: socket.socket, from_client: bool, other: socket.socket, said: Said
    ) -> None:
        try:
            data = source.recv(CHUNK)
        except ConnectionError:
            data = b""
        with contextlib.suppress(OSError):
            if data:
                said.append((from_client, data, 0))
                other.sendall(data)
            else:
                selector.unregister(source)
                other.shutdown(socket.SHUT_WR)
