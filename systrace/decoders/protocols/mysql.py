"""MySQL's and MariaDB's client/server protocol (MySQL source documentation; MariaDB docs, "Clients & Utilities")."""

from __future__ import annotations

import struct

from systrace.decoders import decoder
from systrace.decoders.dialogue import FramedDialogue, both, unfinished, words
from systrace.messages.replies import Greeting, Reply, ServerError, brief, statement, verb
from systrace.model import Message, Socket, Transfer

CLIENT_CONNECT_WITH_DB, CLIENT_COMPRESS, CLIENT_SSL = 0x8, 0x20, 0x800
CLIENT_SECURE_CONNECTION, CLIENT_LENENC_AUTH, CLIENT_ZSTD = 0x8000, 0x200000, 0x4000000
MORE_RESULTS = 0x0008  # server status
_SILENT = frozenset({0x01, 0x18, 0x19})  # commands without an answer: quit, send long data, close statement
_COMMANDS = {
    0x01: "quit",
    0x02: "use",
    0x03: "query",
    0x04: "list fields",
    0x09: "statistics",
    0x0A: "process list",
    0x0C: "kill",
    0x0E: "ping",
    0x11: "change user",
    0x12: "binlog dump",
    0x16: "prepare",
    0x17: "execute",
    0x18: "send long data",
    0x19: "close statement",
    0x1A: "reset statement",
    0x1B: "set option",
    0x1C: "fetch",
    0x1E: "binlog dump",
    0x1F: "reset connection",
}
GREETING, LOGIN, IDLE, FIRST, COLUMNS, ROWS, DEFINITIONS, OPAQUE = range(8)


def _packet(seq: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([seq]) + payload


_HELLO = _packet(0, b"\x0a10.11.6-MariaDB\x00" + bytes(8) + b"12345678\x00" + b"\xff\xf7" + bytes(30))
_LOGIN = _packet(1, struct.pack("<IIB23x", 0x8008, 1 << 24, 33) + b"job\x00\x00dwh\x00")
_OK = b"\x00\x00\x00\x02\x00\x00\x00"


@decoder
class MySql(FramedDialogue):
    """One session."""

    name = "mysql"
    ports = frozenset({3306, 3307, 33060})
    header = 4

    EXAMPLES = (
        (
            _LOGIN + _packet(0, b"\x03select 1") + _packet(0, b"\x03bad") + _packet(0, b"\x01"),
            _HELLO
            + _packet(2, _OK)
            + _packet(1, b"\x01")
            + _packet(2, b"\x03def" + bytes(18))
            + _packet(3, b"\xfe\x00\x00\x02\x00")
            + _packet(4, b"\x011")
            + _packet(5, b"\xfe\x00\x00\x02\x00")
            + _packet(1, b"\xff\x28\x04#42000You have an error in your SQL syntax"),
            [
                "login: user job, database dwh",
                "query: select 1",
                "query: bad",
                "quit",
                "greeting: MySQL 10.11.6-MariaDB",
                "OK",
                "1 row",
                "ERR 1064 (42000): You have an error in your SQL syntax",
            ],
        ),
        (b"", _packet(0, b"\xff\x10\x04Too many connections"), ["ERR 1040: Too many connections"]),
        (
            _LOGIN,
            _HELLO + _packet(2, b"\xff\x15\x04#28000Access denied for user 'job'@'10.0.0.7' (using password: NO)"),
            [
                "login: user job, database dwh",
                "greeting: MySQL 10.11.6-MariaDB",
                "ERR 1045 (28000): Access denied for user 'job'@'10.0.0.7' (using password: NO)",
            ],
        ),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: db:3306\r\n\r\n", b""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), b""),
        (b"", b"220 mail ESMTP\r\n"),
        (b"", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        (_LOGIN, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"N"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._state = GREETING
        self._wants_tls = self._logged_in = False
        self._capabilities = 0
        self._greeted = False
        self._columns = self._definitions = 0
        self._rows = 0
        self._began: Transfer | None = None  # of the answer under way

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        asked = _client_score(client) if client else None
        return both(asked, _server_score(server, bool(client)) if server else None)

    def frame_size(self, from_client: bool, head: bytes) -> int:
        """See `FramedDialogue.frame_size`."""
        if len(head) < 4:
            return 0
        return int.from_bytes(head[:3], "little") + 4

    def begins(self, from_client: bool, head: bytes) -> bool:
        """See `FramedDialogue.begins`."""
        if from_client:
            return _client_score(head) >= 60
        return len(head) >= 5 and head[3] == 1 and head[4] in (0, 1, 2, 3, 4, 5, 255) and not head[2]

    def opaque(self, from_client: bool) -> bool:
        """Compressed packets are not read."""
        return self._state == OPAQUE

    def frame(self, from_client: bool, data: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        """See `FramedDialogue.frame`."""
        if len(data) < 4:
            return
        if from_client:
            self._client(data[3], data[4:], size - 4, first, out)
        else:
            self._server(data[3], data[4:], size - 4, first, out)
        self.handed_over = self._wants_tls and self._greeted

    # -------------------------------------------------------------------------------------------------------- client

    def _client(self, seq: int, body: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        if seq == 0 and size:
            self._command(body, size, first, out)
        elif seq in (1, 2) and not self._logged_in and len(body) >= 4:
            self._login(body, size, first, out)
        elif seq and self._state in (LOGIN, GREETING):
            out.append(self.ask(first, "authentication data", "password"))

    def _login(self, body: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        self._capabilities = flags = int.from_bytes(body[:4], "little")
        self._state = LOGIN
        if size == 32 and flags & CLIENT_SSL:
            self._wants_tls = True
            out.append(self.ask(first, "asks for TLS", "login", wants_answer=False))
            return
        self._logged_in = True
        user, _, rest = body[32:].partition(b"\x00")
        parts = [f"user {brief(user, 30)}"]
        if flags & CLIENT_CONNECT_WITH_DB and rest:
            counted = flags & (CLIENT_LENENC_AUTH | CLIENT_SECURE_CONNECTION)
            rest = rest[rest[0] + 1 :] if counted else rest.partition(b"\x00")[2]
            parts.append(f"database {brief(rest.partition(bytes(1))[0], 30)}")
        out.append(self.ask(first, "login: " + ", ".join(parts), "login"))

    def _command(self, body: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        code = body[0] if body else -1
        name = _COMMANDS.get(code, f"command {code:#x}" if body else "command")
        self._logged_in = True
        if self._state not in (GREETING, LOGIN):
            self._state = IDLE
        if code in (0x03, 0x16):
            text = body[1:].removeprefix(b"\x00\x01")  # no query attributes
            out.append(self.ask(first, f"{name}: {statement(text)}"[:80], verb(text)))
        elif code == 0x02:
            out.append(self.ask(first, f"use {brief(body[1:], 60)}", name))
        else:
            out.append(self.ask(first, name, name, wants_answer=code not in _SILENT))

    # -------------------------------------------------------------------------------------------------------- server

    def _server(self, seq: int, body: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        kind = body[0] if body else -1
        if seq == 1 and self._state == LOGIN:
            self._logged_in_unseen()
        logging_in = self._state in (GREETING, LOGIN)
        if kind == 0xFF and len(body) >= 3 and body[1:3] != b"\xff\xff":
            self._error(body, first, out)
        elif logging_in and seq == 0 and kind in (9, 10):
            self._greeting(body, first, out)
        elif logging_in and seq > 1:
            self._authentication(kind, body, first, out)
        elif self.pending or self._state != IDLE or kind != 0xFE:  # else the EOF behind a statement's description
            if logging_in or self._state == IDLE:
                self._state, self._began, self._rows = FIRST, first, 0
            self._result(kind, body, size, out)

    def _logged_in_unseen(self) -> None:
        """It answers a command: a hole hid the answer to the login."""
        self._state = IDLE
        if len(self.pending) > 1 and self.pending[0].verb == "login":
            self.pending.popleft()

    def _greeting(self, body: bytes, first: Transfer | None, out: list[Message]) -> None:
        self._greeted = True
        reply = self.make(Greeting, False, first, "")
        version = body[1:].partition(b"\x00")[0].removeprefix(b"5.5.5-")  # MariaDB's, for old replicas
        reply.text = brief(version, 60)
        reply.summary = f"greeting: MySQL {reply.text}"
        out.append(reply)

    def _authentication(self, kind: int, body: bytes, first: Transfer | None, out: list[Message]) -> None:
        if kind == 0:
            reply = self.make(Reply, False, first, "OK")
            while self.pending and self.pending[0].verb == "password" and len(self.pending) > 1:
                self.pending.popleft()
            self.answer(reply)
            self._state = OPAQUE if self._capabilities & (CLIENT_COMPRESS | CLIENT_ZSTD) else IDLE
        else:
            method = f" by {brief(body[1:].partition(bytes(1))[0], 40)}" if kind == 0xFE and len(body) > 1 else ""
            reply = self.make(Reply, False, first, f"asks for authentication{method}")
            self.answer(reply)
        out.append(reply)

    def _error(self, body: bytes, first: Transfer | None, out: list[Message]) -> None:
        code, text, state = int.from_bytes(body[1:3], "little"), body[3:], ""
        if text[:1] == b"#":
            state, text = f" ({brief(text[1:6])})", text[6:]
        error = self.make(ServerError, False, first, "")
        error.code, error.text = str(code), words(text)
        error.summary = f"ERR {code}{state}: {brief(error.text, 200)}"
        self.answer(error)
        if self._state not in (GREETING, LOGIN):
            self._state = IDLE
        out.append(error)

    def _result(self, kind: int, body: bytes, size: int, out: list[Message]) -> None:
        """A packet of the answer to a command; its end is told by OK, EOF or the counts it declares."""
        asked = self.pending[0].verb if self.pending else ""
        end = kind == 0xFE and size < 0xFFFFFF
        if self._state == FIRST:
            if asked == "statistics" or kind in (-1, 0xFE):
                self._finish("OK", out)
            elif kind == 0:
                self._ok(body, size, out)
            elif kind == 0xFB:
                self._finish("asks for a local file", out)
            else:
                self._columns = body[0] if body[:1] < b"\xfb" else int.from_bytes(body[1:3], "little")
                self._state = COLUMNS
        elif self._state == COLUMNS:
            self._columns -= 1
            if self._columns <= 0:
                self._state = ROWS
        elif self._state == DEFINITIONS:
            if not (end and size == 5):
                self._definitions -= 1
            if self._definitions <= 0:
                self._finish("prepared", out)
        elif self._state == ROWS:
            self._row(end, body, size, out)

    def _ok(self, body: bytes, size: int, out: list[Message]) -> None:
        """An OK packet, or the head of a prepared statement's description (COM_STMT_PREPARE_OK, 12 bytes)."""
        request = self.pending[0] if self.pending else None
        if request is not None and request.summary.startswith("prepare") and size == 12 and len(body) >= 9:
            self._definitions = int.from_bytes(body[5:7], "little") + int.from_bytes(body[7:9], "little")
            if self._definitions:
                self._state = DEFINITIONS
                return
        if body[1:2] < b"\xfb" and body[2:3] < b"\xfb" and _more(body):
            return
        self._finish("OK", out)

    def _row(self, end: bool, body: bytes, size: int, out: list[Message]) -> None:
        """Rows until EOF (5 bytes), or OK in its place (CLIENT_DEPRECATE_EOF: 7 bytes and more)."""
        if not end:
            self._rows += 1
            self._columns = -1
        elif size == 5 and self._columns == 0:
            self._columns = -1  # the EOF between columns and rows
        elif _more(body):
            self._state = FIRST
        else:
            self._finish(f"{self._rows} row{'s' if self._rows != 1 else ''}", out)

    def _finish(self, summary: str, out: list[Message]) -> None:
        reply = self.make(Reply, False, self._began or self.server.last, summary)
        self.answer(reply)
        self._state, self._began, self._rows, self._columns = IDLE, None, 0, 0
        out.append(reply)

    def hid(self, from_client: bool, out: list[Message]) -> None:
        """See `Dialogue.hid`."""
        if not from_client and self._state not in (GREETING, LOGIN, OPAQUE):
            self._state, self._began, self._rows = IDLE, None, 0
        super().hid(from_client, out)

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `FramedDialogue.unfinished`."""
        if from_client or self._state not in (COLUMNS, ROWS, DEFINITIONS):
            return
        reply = self.make(Reply, False, self._began, f"answer cut after {self._rows} rows: not completed")
        self.answer(unfinished(reply, how, None, 0), final=False)
        out.append(reply)


def _more(body: bytes) -> bool:
    """Does another result follow? EOF has its status flags at 3, and OK too where nothing was changed."""
    return len(body) >= 5 and bool(int.from_bytes(body[3:5], "little") & MORE_RESULTS)


def _client_score(client: bytes) -> int:
    """Login (sequence number 1), or a command (0) where the trace begins later."""
    if len(client) < 5:
        return 20
    size, seq, kind = int.from_bytes(client[:3], "little"), client[3], client[4]
    if seq == 1 and 32 <= size < 4096 and len(client) >= 4 + 12:
        return 75 if not any(client[13:32]) else 0  # reserved; MariaDB's clients use the last four bytes of it
    if seq != 0 or not 0 < size < 1 << 24 or kind not in _COMMANDS:
        return 0
    whole = len(client) - 4 == size
    if kind in (0x03, 0x16) and size > 4:
        return (90 if whole else 65) if _is_statement(client[5:25]) else 0
    return 45 if whole else 0


def _is_statement(text: bytes) -> bool:
    """Could SQL begin like this?"""
    text = text.removeprefix(b"\x00\x01")
    begins = text[:1].isascii() and (text[:1].isalpha() or text[:1] in b"(/ \n-#")
    return begins and b"\x00" not in text and len(text) > 3


def _server_score(server: bytes, asked: bool) -> int:
    if len(server) < 5:
        return 20
    size, seq, kind = int.from_bytes(server[:3], "little"), server[3], server[4]
    if seq == 0 and kind == 10 and 20 < size < 512:
        return 97 if server[5:6].isdigit() and b"\x00" not in server[5:8] else 0  # a version
    if kind == 0xFF and seq <= 3 and 3 < size < 1024:
        surely = 95 if seq == 0 else 80
        return surely if len(server) < 7 or 1000 <= int.from_bytes(server[5:7], "little") < 5000 else 0
    if not asked or seq not in (1, 2):
        return 0
    return 60 if seq == 1 and size < 1 << 16 else 30
