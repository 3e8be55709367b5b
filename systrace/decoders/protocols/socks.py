"""SOCKS version 5: what a client asks its proxy for, and how that answers (RFC 1928; RFC 1929 for names and passwords)."""

from __future__ import annotations

import ipaddress

from systrace.decoders import decoder
from systrace.decoders.dialogue import Dialogue, both, unfinished
from systrace.messages.replies import Reply, Request, ServerError, Unit, brief
from systrace.model import Message, Socket

_NO_METHOD = 0xFF
_PASSWORD = 2
_COMMANDS = {1: "connect to", 2: "bind", 3: "relay UDP for"}
_FAILURES = {
    1: "general failure of the proxy",
    2: "connection not allowed by the proxy's rules",
    3: "network unreachable from the proxy",
    4: "host unreachable from the proxy",
    5: "connection refused by the host behind the proxy",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}
_ADDRESS = {1: 4, 4: 16}  # bytes, by type; 3 is a name that begins with its length
_LONGEST = 2 + 255  # a greeting


@decoder
class Socks(Dialogue):
    """The negotiation at the beginning of one connection; what follows it is another protocol."""

    name = "socks5"
    ports = frozenset({1080})

    EXAMPLES = (
        (b"\5\1\0", b"\5\xff", ["greeting (1 method)", "no acceptable authentication method"]),
        (
            b"\5\2\0\2\1\3app\6secret",
            b"\5\2\1\1",
            ["greeting (2 methods)", "method: password", "login", "login refused (status 1)"],
        ),
        (
            b"\5\1\0\5\1\0\3\x0bapi.example\0P",
            b"\5\0\5\5\0\1\0\0\0\0\0\0",
            [
                "greeting (1 method)",
                "method: none",
                "connect to api.example:80",
                "connection refused by the host behind the proxy",
            ],
        ),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\5\0"),
        (b"\5\1\0", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (b"\5\0\0\0", b"\5\0"),
        (b"\4\1\0P\xc0\0\2\7\0", b"\0Z\0\0\0\0\0\0"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._asked = ""  # of the client: "", greeting, login, request
        self._method = -1  # that the server chose

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        return both(_client_score(client) if client else None, _server_score(server) if server else None, 92)

    def drain(self, from_client: bool, out: list[Message]) -> None:
        """See `Dialogue.drain`."""
        while not self.held(from_client):
            buffer = self.buffer(from_client)
            size = self._client_size(buffer.peek(_LONGEST * 2)) if from_client else self._server_size(buffer.peek(300))
            if not size or buffer.size < size:
                return
            first = buffer.here
            data = buffer.take(size)[0]
            if from_client:
                self._said(data, self.make(Request, True, first, ""), out)
            else:
                self._answered(data, self.make(ServerError if self._fails(data) else Reply, False, first, ""), out)

    def cut(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `Dialogue.cut`."""
        buffer = self.buffer(from_client)
        if buffer.size:
            first, size = buffer.here, buffer.size
            buffer.take(size)
            kind: type[Unit] = Request if from_client else Reply
            message = self.make(kind, from_client, first, f"message cut after {size} bytes")
            out.append(unfinished(message, how, None, size))

    def _client_size(self, head: bytes) -> int:
        """Bytes of the client's next message; 0: more are needed."""
        if len(head) < 2:
            return 0
        if not self._asked:
            return 2 + head[1]
        if self._method == _PASSWORD and self._asked == "greeting":
            end = 2 + head[1]
            return end + 1 + head[end] if len(head) > end else 0
        return _with_address(head)

    def _server_size(self, head: bytes) -> int:
        return _with_address(head) if self._asked == "request" else min(2, len(head) // 2 * 2)

    def _said(self, data: bytes, request: Request, out: list[Message]) -> None:
        if not self._asked:
            self._asked, request.verb = "greeting", "greeting"
            request.summary = f"greeting ({data[1]} method{'s' if data[1] != 1 else ''})"
        elif self._method == _PASSWORD and self._asked == "greeting":
            self._asked = request.verb = request.summary = "login"
        else:
            self._asked, request.verb = "request", "connect"
            request.summary = f"{_COMMANDS.get(data[1], 'command')} {_target(data)}"
        self.waits = True
        out.append(self.expect(request))

    def _fails(self, data: bytes) -> bool:
        return data[1] == _NO_METHOD if self._asked in ("", "greeting") else data[1] != 0

    def _answered(self, data: bytes, reply: Reply, out: list[Message]) -> None:
        status = data[1]
        reply.code = str(status)
        if self._asked in ("", "greeting"):
            self._method = status
            names = {
                0: "method: none",
                _PASSWORD: "method: password",
                _NO_METHOD: "no acceptable authentication method",
            }
            reply.summary = names.get(status, f"method: {status}")
        elif self._asked == "login":
            reply.summary = f"login refused (status {status})" if status else "login accepted"
        else:
            reply.summary = _FAILURES.get(status, f"failure {status}") if status else "connected"
            self.handed_over = status == 0
        self.answer(reply)
        out.append(reply)
        self.release(out)


def _with_address(head: bytes) -> int:
    """Size of a message that ends with an address and a port; 0: more bytes are needed."""
    if len(head) < 5:
        return 0
    return 4 + _ADDRESS.get(head[3], 1 + head[4]) + 2


def _target(data: bytes) -> str:
    port = int.from_bytes(data[-2:], "big")
    if data[3] in _ADDRESS:
        raw = data[4:-2]
        return f"{ipaddress.ip_address(raw)}:{port}" if len(raw) == _ADDRESS[data[3]] else "?"
    return f"{brief(data[5:-2])}:{port}"


def _client_score(client: bytes) -> int:
    if client[0] != 5:
        return 0
    if len(client) < 2:
        return 30
    count = client[1]
    methods, rest = client[2 : 2 + count], client[2 + count : 3 + count]
    if not count or any(9 < method < 0x80 for method in methods) or (rest and rest[0] not in (1, 5)):
        return 0
    return 65 if len(methods) == count else 30


def _server_score(server: bytes) -> int:
    if server[0] != 5:
        return 0
    if len(server) < 2:
        return 30
    known = server[1] in (0, 1, _PASSWORD, _NO_METHOD)
    rest = server[2:3]
    return 0 if not known or (rest and rest[0] not in (1, 5)) else 55
