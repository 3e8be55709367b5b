"""PostgreSQL's frontend/backend protocol 3.0 (PostgreSQL documentation, chapter "Frontend/Backend Protocol")."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from systrace.decoders import decoder
from systrace.decoders.dialogue import FramedDialogue, both, unfinished, words
from systrace.messages.replies import Greeting, Reply, ServerError, brief, statement, verb
from systrace.model import Message, Socket, Transfer

LARGEST = 1 << 30  # bytes; the server's own limit of a message (PQ_LARGE_MESSAGE_LIMIT is MaxAllocSize - 1)
LARGEST_STARTUP = 10000  # bytes, MAX_STARTUP_PACKET_LENGTH
STARTUP, CANCEL, SSL, GSS = 196608, 80877102, 80877103, 80877104
_CODES = (STARTUP, CANCEL, SSL, GSS, 196610)  # the last: protocol 3.2, PostgreSQL 18
_CLIENT = b"QPBEDSCXpdcfHF"
_SERVER = b"RSKZENTDC123nstIAVGHWdcv"
_AUTHENTICATION = {2: "kerberos", 3: "password", 5: "md5", 7: "gss", 8: "gss", 9: "sspi", 10: "sasl", 11: "sasl"}
_STATUS = {b"I": "idle", b"T": "in a transaction", b"E": "in a failed transaction"}

EXAMPLE_STARTUP = b"\x00\x00\x00\x1f\x00\x03\x00\x00user\x00job\x00database\x00dwh\x00\x00"


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


@decoder
class Postgres(FramedDialogue):
    """One session."""

    name = "postgres"
    EVENTS = frozenset({"LISTEN"})
    ports = frozenset({5432, 5433, 6432})
    header = 8

    EXAMPLES = (
        (
            EXAMPLE_STARTUP + _message(b"Q", b"select 1\x00") + _message(b"X", b""),
            _message(b"R", b"\x00\x00\x00\x00")
            + _message(b"S", b"server_version\x0016.2\x00")
            + _message(b"Z", b"I")
            + _message(b"T", b"\x00\x01a\x00" + bytes(18))
            + _message(b"D", b"\x00\x01\x00\x00\x00\x011")
            + _message(b"C", b"SELECT 1\x00")
            + _message(b"Z", b"I"),
            [
                "startup: user job, database dwh",
                "query: select 1",
                "terminate",
                "ready: PostgreSQL 16.2",
                "SELECT 1 (1 row)",
            ],
        ),
        (
            EXAMPLE_STARTUP,
            _message(b"E", b"SFATAL\x00VFATAL\x00C53300\x00Msorry, too many clients already\x00\x00"),
            ["startup: user job, database dwh", "FATAL 53300: sorry, too many clients already"],
        ),
        (
            b"\x00\x00\x00\x08\x04\xd2\x16\x2f" + EXAMPLE_STARTUP,
            b"N" + _message(b"E", b"SFATAL\x00C28000\x00Mno pg_hba.conf entry for host, no encryption\x00\x00"),
            [
                "asks for TLS",
                "TLS refused",
                "startup: user job, database dwh",
                "FATAL 28000: no pg_hba.conf entry for host, no encryption",
            ],
        ),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: db:5432\r\n\r\n", b""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), b""),
        (EXAMPLE_STARTUP, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (EXAMPLE_STARTUP, b"-ERR unknown command\r\n"),
        (b"", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        (b"QUIT\r\n", b"220 mail ESMTP\r\n"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._started = bool(socket.inherited)  # typed messages from here on
        self._asked = ""  # "TLS" or "GSS": one byte answers
        self._parsed: list[bytes] = []  # statements of an extended query, until Sync
        self._extended_first: Transfer | None = None
        self._version = ""
        self._rows = self._row_bytes = 0
        self._rows_first: Transfer | None = None
        self._tags: list[str] = []
        self._failed = False

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        code = _code(client)
        asked = _client_score(client, code) if client else None
        return both(asked, _server_score(server, code, bool(client)) if server else None)

    # ------------------------------------------------------------------------------------------------------- framing

    def frame_size(self, from_client: bool, head: bytes) -> int:
        """See `FramedDialogue.frame_size`."""
        if not from_client and self._asked and head[:1] in (b"S", b"N", b"G") and not self._started:
            return 1
        if from_client and not self._started:
            if not head or head[0] not in _CLIENT:
                return _startup_size(head)
            self._started = True  # a startup packet's length begins with a zero byte: we joined later
        if len(head) < 5:
            return 0 if not head or head[0] in (_CLIENT if from_client else _SERVER) else -1
        return _typed_size(head, _CLIENT if from_client else _SERVER)

    def begins(self, from_client: bool, head: bytes) -> bool:
        """See `FramedDialogue.begins`."""
        return _chain(head, _CLIENT if from_client else _SERVER) >= 60

    def frame_name(self, from_client: bool, head: bytes) -> str:
        """See `FramedDialogue.frame_name`."""
        names = {b"D": "row", b"T": "row description", b"d": "copy data", b"Q": "query", b"E": "error"}
        return names.get(head[:1], "message") if self._started or not from_client else "startup"

    def frame(self, from_client: bool, data: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        """See `FramedDialogue.frame`."""
        if not from_client:
            self._server(data[:1], data[5:], size, first, out)
        elif self._started:
            self._client(data[:1], data[5:], size, first, out)
        else:
            self._startup(data, first, out)

    # -------------------------------------------------------------------------------------------------------- client

    def _startup(self, data: bytes, first: Transfer | None, out: list[Message]) -> None:
        code = _code(data)
        if code in (SSL, GSS):
            self._asked = "TLS" if code == SSL else "GSS encryption"
            self.waits = True
            out.append(self.ask(first, f"asks for {self._asked}", "startup"))
        elif code == CANCEL:
            out.append(self.ask(first, "cancel request", "cancel", wants_answer=False))
        else:
            self._started = True
            values = data[8:].split(b"\x00")
            known = dict(zip(values[::2], values[1::2], strict=False))
            parts = [f"{key} {brief(known[key.encode()], 30)}" for key in ("user", "database") if key.encode() in known]
            out.append(self.ask(first, "startup: " + ", ".join(parts), "startup"))

    def _client(self, kind: bytes, body: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        if kind == b"Q":
            text = body.partition(b"\x00")[0]
            out.append(self.ask(first, f"query: {statement(text)}"[:80], verb(text)))
        elif kind in b"PBEDC":
            if not self._parsed and self._extended_first is None:
                self._extended_first = first
            if kind == b"P":
                self._parsed.append(body.partition(b"\x00")[2].partition(b"\x00")[0])
        elif kind in b"SHF":
            self._extended(first, out)
        elif kind == b"p":
            out.append(self.ask(first, "authentication data", "password"))
        elif kind == b"X":
            out.append(self.ask(first, "terminate", "terminate", wants_answer=False))
        elif kind == b"f":
            out.append(self.ask(first, "copy failed on the client's side", "copy", wants_answer=False))

    def _extended(self, first: Transfer | None, out: list[Message]) -> None:
        """Sync (or Flush) ends a batch of Parse, Bind and Execute."""
        begun, texts = self._extended_first, self._parsed
        self._extended_first, self._parsed = None, []
        if begun is None and self.pending:
            return  # Sync after Flush: one answer
        text = texts[0] if texts else b""
        more = f" (+{len(texts) - 1} more)" if len(texts) > 1 else ""
        summary = f"query: {statement(text)}"[: 80 - len(more)] + more if text else "prepared statement"
        out.append(self.ask(begun or first, summary, verb(text) if text else "execute"))

    # -------------------------------------------------------------------------------------------------------- server

    def _server(self, kind: bytes, body: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        if self._asked and size == 1:
            self._encryption(kind, first, out)
        elif kind in b"Dd":
            if not self._rows:
                self._rows_first = first
            self._rows += 1
            self._row_bytes += size
        elif kind == b"C":
            self._tags.append(brief(body.partition(b"\x00")[0], 40))
        elif kind == b"E":
            self._asked = ""
            self._error(body, first, out)
            if self.waits:
                self.release(out)
        elif kind == b"Z":
            self._ready(body[:1], first, out)
        elif kind == b"S" and body.startswith(b"server_version\x00"):
            self._version = brief(body.split(b"\x00")[1], 20)
        elif kind == b"R" and len(body) >= 4:
            method = _AUTHENTICATION.get(int.from_bytes(body[:4], "big"))
            if method:
                reply = self.make(Reply, False, first, f"asks for authentication: {method}")
                self.answer(reply)
                out.append(reply)
        elif kind in b"GWH":
            reply = self.make(Reply, False, first, "ready to copy")
            self.answer(reply, final=False)
            out.append(reply)

    def _encryption(self, kind: bytes, first: Transfer | None, out: list[Message]) -> None:
        """One byte answers SSLRequest and GSSENCRequest."""
        asked, self._asked = self._asked, ""
        summary = f"{asked} refused" if kind == b"N" else f"{asked} accepted"
        reply = self.make(Reply, False, first, summary)
        self.answer(reply)
        out.append(reply)
        self.handed_over = kind in (b"S", b"G")
        self.release(out)

    def _error(self, body: bytes, first: Transfer | None, out: list[Message]) -> None:
        *parts, rest = body.split(b"\x00")
        fields = {part[:1]: part[1:] for part in parts if part}
        if rest[:1] == b"M":  # of the other fields a part would be misleading
            fields[b"M"] = rest[1:]
        severity = brief(fields.get(b"V", fields.get(b"S", b"ERROR")), 20)
        code, text = brief(fields.get(b"C", b""), 5), words(fields.get(b"M", b""))
        error = self.make(ServerError, False, first, f"{severity} {code}: {brief(text, 200)}")
        error.code, error.text = code, text
        self.answer(error)
        self._failed = True
        out.append(error)

    def _ready(self, status: bytes, first: Transfer | None, out: list[Message]) -> None:
        """ReadyForQuery ends every answer."""
        request = self.pending[0] if self.pending else None
        rows, tags, failed = self._rows, self._tags, self._failed
        begun = self._rows_first or first
        self._rows, self._row_bytes, self._tags, self._failed, self._rows_first = 0, 0, [], False, None
        if failed:
            return
        if self._version:
            reply: Reply = self.make(Greeting, False, first, f"ready: PostgreSQL {self._version}")
            reply.text, self._version = self._version, ""
        else:
            count = f" ({rows} row{'s' if rows != 1 else ''})" if rows else ""
            text = "; ".join(tags[:3]) or f"ready, {_STATUS.get(status, 'idle')}"
            reply = self.make(Reply, False, begun if request else first, text + count)
        self.answer(reply)
        out.append(reply)

    def hid(self, from_client: bool, out: list[Message]) -> None:
        """See `Dialogue.hid`."""
        if from_client:
            self._parsed, self._extended_first = [], None
        else:
            self._rows, self._row_bytes, self._tags, self._failed, self._rows_first = 0, 0, [], False, None
        super().hid(from_client, out)

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `FramedDialogue.unfinished`."""
        if from_client or not (self._rows or self._tags):
            return
        text = f"answer cut after {self._rows} rows, {self._row_bytes} bytes: not completed"
        reply = unfinished(self.make(Reply, False, self._rows_first, text), how, None, self._row_bytes)
        self.answer(reply, final=False)
        out.append(reply)


# ---------------------------------------------------------------------------------------------------------- recognising


def _code(head: bytes) -> int:
    """The request code of a startup packet, 0 when it is none."""
    code = int.from_bytes(head[4:8], "big") if len(head) >= 8 else 0
    return code if code in _CODES and 8 <= int.from_bytes(head[:4], "big") <= LARGEST_STARTUP else 0


def _startup_size(head: bytes) -> int:
    if len(head) < 8:
        return 0 if head[:2] == b"\x00\x00"[: len(head)] or not head else -1
    return int.from_bytes(head[:4], "big") if _code(head) else -1


def _typed_size(head: bytes, kinds: bytes) -> int:
    """Size of the typed message that begins so, or -1; `head` has at least 5 bytes."""
    length = int.from_bytes(head[1:5], "big")
    if head[0] not in kinds or not 4 <= length < LARGEST:
        return -1
    return length + 1


def _frames(head: bytes, kinds: bytes) -> Iterator[tuple[int, int, bool]]:
    """(start, size, whole) of the typed messages that `head` begins with; ends with size -1 at another thing."""
    at = 0
    while at < len(head):
        if len(head) - at < 5:
            yield at, (5 if head[at] in kinds else -1), False
            return
        size = _typed_size(head[at : at + 5], kinds)
        yield at, size, size > 0 and at + size <= len(head)
        if size < 0:
            return
        at += size


def _chain(head: bytes, kinds: bytes) -> int:
    """How surely bytes are typed messages: 0 no; 60 one plausible header; 90 and more: several, or one proven."""
    whole = 0
    for at, size, complete in _frames(head, kinds):
        if size < 0:
            return 0
        whole += complete
        if not complete and len(head) - at >= 5 and size > 1 << 24:
            return 0
    if whole > 1:
        return 92
    if head[:1] in b"QP" and len(head) >= 8 and head[1] == 0 and head[5:8].replace(b"\x00", b"a").isascii():
        return 90 if head[5:25].replace(b"\x00", b"").decode("latin-1").isprintable() else 70
    return 60 if len(head) >= 5 else 30


def _client_score(client: bytes, code: int) -> int:
    if code:
        return 99
    if len(client) < 8 and client[:2] == b"\x00\x00"[: len(client)]:
        return 20
    return _chain(client, _CLIENT)


def _server_score(server: bytes, code: int, asked: bool) -> int:
    """`code` is that of the client's startup packet."""
    if code in (SSL, GSS) and server[:1] in (b"S", b"N", b"G"):
        refused, rest = server[:1] == b"N", server[1:]
        return 95 if not rest or not refused or _chain(rest, _SERVER) else 0
    if len(server) == 1:
        if asked:
            return 30 if server in (b"R", b"E") else 0
        return 10 if server[0] in _SERVER else 0
    if _is_error(server):
        return 99 if _typed_size(server, _SERVER) > 0 else 0
    if server[:4] == b"R\x00\x00\x00" and len(server) >= 9:
        return 92 if server[5:8] == b"\x00\x00\x00" and server[8] <= 12 else 0
    return _chain(server, _SERVER)


def _is_error(head: bytes) -> bool:
    """An ErrorResponse whose first field is its severity."""
    return head[:1] == b"E" and head[5:6] == b"S" and any(w in head[5:24] for w in (b"FATAL", b"ERROR", b"PANIC"))
