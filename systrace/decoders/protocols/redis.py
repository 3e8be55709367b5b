"""Redis' serialization protocol, RESP2 and RESP3 (redis.io, "Redis serialization protocol specification")."""

from __future__ import annotations

import re
from collections.abc import Iterable

from systrace.decoders import decoder
from systrace.decoders.buffer import Line
from systrace.decoders.dialogue import LineDialogue, both, unfinished, words
from systrace.messages.piece import Piece
from systrace.messages.problem import printable
from systrace.messages.replies import FramingError, Reply, Request, ServerError, Unit, brief
from systrace.model import Message, Socket, Transfer

KEPT = 128  # bytes of a value that are looked at
DEEPEST = 64  # nested arrays; no server nests deeper
_HEADER = re.compile(rb"(?:[$*!=%~>|](?:-1|\d{1,10})|[+\-][^\r\n]*|:[+-]?\d+|_|,[^\r\n]+|#[tf]|\([+-]?\d+)\Z")
_START = re.compile(
    rb"[$*!=%~>|](?:-1|\d{1,10}|\?)\r\n|:[+-]?\d{1,20}\r\n|_\r\n|#[tf]\r\n|,[\d.+eEinfa-]+\r\n|\(-?\d+\r\n"
)
_REQUEST = re.compile(rb"\*[1-9]\d{0,6}\r\n\$\d{1,9}\r\n[A-Za-z]")
_REQUEST_START = re.compile(rb"\*(?:[1-9]\d{0,6}(?:\r(?:\n(?:\$(?:\d{1,9}(?:\r(?:\n)?)?)?)?)?)?)?\Z")
_ERROR = re.compile(
    rb"-(?:(?:NOAUTH|WRONGPASS|DENIED|LOADING|MAXCLIENTS|BUSY|MISCONF|OOM|READONLY|MOVED|ASK|NOPERM|WRONGTYPE|"
    rb"EXECABORT|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|NOSCRIPT|NOREPLICAS) |ERR (?:unknown (?:sub)?command|wrong number of|"
    rb"max number of|Protocol error|invalid (?:password|DB)|AUTH |Client sent AUTH|value is not|syntax error|"
    rb"operation not permitted))"
)
_STATUS = re.compile(rb"\+(?:PONG|OK|QUEUED)\r\n")
_STARTS = re.compile(
    rb"[$*!=%~>|](?:-1|\d{1,10}|\?)(?:\r|\Z)|:[+-]?\d{1,20}(?:\r|\Z)|_\r|[+-][A-Z]{2,}\r|-[A-Z]{2,} |#[tf]\r"
)
_INLINE = re.compile(
    rb"(?:PING|INFO|QUIT|AUTH|SELECT|GET|SET|DBSIZE|CONFIG|CLIENT|MONITOR)\b[^\r\n/]*\r?\n", re.IGNORECASE
)
_HIDDEN = frozenset({"AUTH", "HELLO", "CONFIG", "ACL", "MIGRATE", "EVAL", "SENTINEL"})  # words that may be secrets
_EVENTS = frozenset({"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR"})
_POPS = frozenset(b"BLPOP BRPOP BLMOVE BRPOPLPUSH BZPOPMIN BZPOPMAX".split())  # their last word is the limit, 0: none
_POPS_MANY = frozenset(b"BLMPOP BZMPOP".split())  # their first one is
_STREAMS = frozenset(b"XREAD XREADGROUP".split())
_NAMES = {b":": "integer", b"_": "nil", b",": "double", b"#": "boolean", b"(": "big number"}
_MANY, _BULK, _SIMPLE, _FIRST = b"*%~>|", b"$!=", b"+-:_,#(", b"*%~>|$!=+-:_,#("


class _Value:
    """The value that one side is sending."""

    __slots__ = ("block", "error", "first", "items", "kind", "last", "leaves", "size", "stack", "text")

    def __init__(self, first: Transfer | None) -> None:
        self.first = first
        self.kind = b""  # of the outermost
        self.size = 0  # of the outermost: items, or bytes
        self.text = b""  # of the outermost, when it is simple
        self.stack: list[int] = []  # items still to come, one number a level
        self.items: list[bytes] = []  # the first three leaves' first known bytes
        self.last = b""  # the last leaf's first known bytes
        self.block = b""  # those of the one behind BLOCK
        self.leaves = 0
        self.error = b""  # the first error in it


def _blocks_for_ever(value: _Value) -> bool:
    """A command that answers when there is something, without a limit."""
    name = value.items[0].upper() if value.items else b""
    if name in _POPS:
        return value.last.strip(b"0.") == b"" and value.leaves > 1
    if name in _POPS_MANY:
        return len(value.items) > 1 and value.items[1].strip(b"0.") == b""
    return name in _STREAMS and value.block == b"0"


@decoder
class Redis(LineDialogue):
    """One connection to Redis, Valkey, KeyDB or Sentinel."""

    name = "redis"
    EVENTS = _EVENTS
    ports = frozenset({6379, 6380, 26379})

    EXAMPLES = (
        (
            b"*2\r\n$3\r\nGET\r\n$8\r\nreport:7\r\n*2\r\n$4\r\nAUTH\r\n$6\r\ns3cret\r\nPING\r\n",
            b"$5\r\nhello\r\n-WRONGPASS invalid username-password pair or user is disabled.\r\n+PONG\r\n",
            [
                "GET report:7",
                "AUTH",
                "PING",
                "value of 5 bytes",
                "WRONGPASS invalid username-password pair or user is disabled.",
                "PONG",
            ],
        ),
        (b"", b"-ERR max number of clients reached\r\n", ["ERR max number of clients reached"]),
        (
            b"*1\r\n$4\r\nEXEC\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n",
            b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            ["EXEC", "SET k", "array of 2", "OOM command not allowed when used memory > 'maxmemory'."],
        ),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: cache:6379\r\n\r\n", b"-ERR wrong number of arguments for 'get' command\r\n"),
        (b"USER job\r\n", b"+OK POP3 ready\r\n"),
        (b"", b"+OK POP3 server ready\r\n"),
        (b"*1\r\n$4\r\nPING\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (b"*1\r\n$4\r\nPING\r\n", b"220 mail ESMTP\r\n"),
        (b"get k\r\n", b"VALUE k 0 2\r\nvv\r\nEND\r\n"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._value: dict[bool, _Value | None] = {True: None, False: None}
        self._lost = {True: False, False: False}
        self._read = {True: False, False: False}  # a value was read on that side

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        return both(_client_score(client) if client else None, _server_score(server) if server else None)

    def feed(self, from_client: bool, piece: Piece) -> Iterable[Message]:
        """See `Decoder.feed`; a side that was lost goes on with a call that begins a value."""
        if self._lost[from_client]:
            head = piece.data[:64]
            if not (_REQUEST.match(head) if from_client else _STARTS.match(head)):
                return ()
            self._lost[from_client] = False
        return super().feed(from_client, piece)

    # ------------------------------------------------------------------------------------------------------- reading

    def line(self, from_client: bool, line: Line, first: Transfer | None, out: list[Message]) -> None:
        """A header of RESP, an inline command, or what is left of the line that ends a bulk string."""
        value, data = self._value[from_client], line.data
        if value is None:
            if not data:
                return
            if from_client and data[:1].isalpha():
                words_ = data.split()
                self._request(words_[:2], len(words_), first, line.cut, out)
                return
            value = self._value[from_client] = _Value(first)
        simple = data[:1] in _SIMPLE
        if _HEADER.match(data) is None or (line.cut and not simple):
            self._value[from_client] = None
            if line.cut:
                self._lose(from_client, out)
            else:
                self._misframed(from_client, data, first, out)
            return
        self._header(from_client, value, data, line.cut, out)

    def _header(self, from_client: bool, value: _Value, data: bytes, cut: bool, out: list[Message]) -> None:
        kind, size = data[:1], 0 if data[:1] in _SIMPLE else int(data[1:])
        if not value.kind:
            value.kind, value.size, value.text = kind, size, data[1:]
        if kind in _MANY and size > 0 and len(value.stack) < DEEPEST:
            value.stack.append(size * 2 if kind in b"%|" else size)
        elif kind in _BULK and size >= 0:
            self.expect_raw(from_client, size + 2, min(size, KEPT))
        else:
            if kind == b"-" and not value.error:
                value.error = data[1:]
            self._leaf(from_client, value, data[1:], cut, out)
            if cut and self._value[from_client] is not None:
                self._value[from_client] = None
                self._lose(from_client, out)

    def raw_done(self, from_client: bool, head: bytes, size: int, out: list[Message]) -> None:
        """A bulk string has passed, with the line end behind it."""
        value = self._value[from_client]
        if value is not None:
            self._leaf(from_client, value, head, False, out)

    def _leaf(self, from_client: bool, value: _Value, data: bytes, cut: bool, out: list[Message]) -> None:
        """A value that holds no others is complete, and maybe with it those around it."""
        value.leaves += 1
        if value.last.upper() == b"BLOCK":
            value.block = data[:KEPT]
        value.last = data[:KEPT]
        if len(value.items) < 3:
            value.items.append(data[:KEPT])
        stack = value.stack
        while stack:
            stack[-1] -= 1
            if stack[-1]:
                return
            stack.pop()
        self._value[from_client] = None
        self._read[from_client] = True
        if from_client:
            self._request(value.items[:2], value.size, value.first, cut, out, _blocks_for_ever(value))
        else:
            self._reply(value, cut, out)

    def _lose(self, from_client: bool, out: list[Message]) -> None:
        """Where the next value begins cannot be told."""
        buffer = self.buffer(from_client)
        buffer.skip_call()
        self._lost[from_client] = not buffer.size
        self.hid(from_client, out)

    def _misframed(self, from_client: bool, data: bytes, first: Transfer | None, out: list[Message]) -> None:
        if self._read[from_client]:
            buffer = self.buffer(from_client)
            message = self.make(FramingError, from_client, first, f"no value begins with {printable(data, 40)}")
            message.offset, message.sample = buffer.taken - len(data) - 2, data[:32]
            out.append(unfinished(message, "malformed", None, 0))
        self._lose(from_client, out)

    # ------------------------------------------------------------------------------------------------------ messages

    def _request(
        self,
        items: list[bytes],
        count: int,
        first: Transfer | None,
        cut: bool,
        out: list[Message],
        for_ever: bool = False,
    ) -> None:
        name = brief(items[0], 20).upper() if items else ""
        key = f" {brief(items[1], 58)}" if count > 1 and len(items) > 1 and name not in _HIDDEN else ""
        request = self.ask(first, name + key, name)
        if for_ever:
            request.awaits = "itself"
        if cut:
            unfinished(request, self.cut_reason, None, 0)
        out.append(request)

    def _reply(self, value: _Value, cut: bool, out: list[Message]) -> None:
        if value.error:
            reply: Reply = self._error(value, cut)
        else:
            reply = self.make(Reply, False, value.first, _describe(value))
        if value.kind != b">":
            self.answer(reply)
        if cut:
            unfinished(reply, self.cut_reason, None, 0)
        out.append(reply)

    def _error(self, value: _Value, cut: bool) -> ServerError:
        text = words(value.error)
        error = self.make(ServerError, False, value.first, brief(text, 200))
        error.code = text.partition(" ")[0] if " " in text or not cut else ""
        error.text = text
        return error

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `LineDialogue.unfinished`."""
        value, self._value[from_client] = self._value[from_client], None
        if value is None:
            return
        got, size = self.raw_passed(from_client)
        where = f"{min(got, size - 2)} of {size - 2} bytes" if size else ""
        if value.kind in _MANY:
            where = f"item {value.leaves + 1}" + (f", {where}" if where else "") + f" of an array of {value.size}"
        kind: type[Unit] = Request if from_client else Reply
        message = self.make(kind, from_client, value.first, f"{'command' if from_client else 'value'} cut: {where}")
        out.append(unfinished(message, how, size - 2 if size else None, got))


def _describe(value: _Value) -> str:
    """A reply for people."""
    kind = value.kind
    if kind in _BULK:
        return "nil" if value.size < 0 else f"value of {value.size} bytes"
    if kind in _MANY:
        if kind == b">":
            return "push: " + " ".join(brief(item, 30) for item in value.items[:2])
        return "nil" if value.size < 0 else f"array of {value.size}"
    return brief(value.text) if kind == b"+" else f"{_NAMES.get(kind, 'value')} {brief(value.text, 40)}".strip()


def _client_score(client: bytes) -> int:
    if _REQUEST.match(client):
        return 97
    if _REQUEST_START.match(client):
        return 70 if len(client) > 7 else 50
    if _INLINE.match(client):
        return 50
    return 30 if any(word.startswith(client.upper()) for word in (b"PING", b"INFO", b"AUTH")) else 0


def _server_score(server: bytes) -> int:
    if _ERROR.match(server):
        return 93
    if _STATUS.match(server):
        return 45 if server.startswith(b"+OK") else 60
    if _START.match(server):
        return 60
    return 40 if _STARTS.match(server) else 30 * (len(server) < 5 and server[:1] in _FIRST)
