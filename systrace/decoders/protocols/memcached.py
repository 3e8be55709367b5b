"""memcached's text protocol (memcached's doc/protocol.txt)."""

from __future__ import annotations

import re

from systrace.decoders import decoder
from systrace.decoders.buffer import Line
from systrace.decoders.dialogue import LineDialogue, both, unfinished, words
from systrace.messages.replies import Reply, Request, ServerError, Unit, brief
from systrace.model import Message, Socket, Transfer

_STORAGE = frozenset({"set", "add", "replace", "append", "prepend", "cas"})
_VERBS = frozenset(
    b"set add replace append prepend cas get gets gat gats delete incr decr touch stats flush_all version verbosity "
    b"quit slabs lru lru_crawler watch mg ms md ma mn me shutdown cache_memlimit".decode().split()
)
_CLIENT = re.compile(
    rb"(?:(?:gets?|gats? \d+|delete|touch|incr|decr) [^\s]{1,250}|"
    rb"(?:set|add|replace|append|prepend|cas) [^\s]{1,250} \d+ -?\d+ \d+|mg [^\s]{1,250}|stats|version|flush_all)[ \r]"
)
_BEGINNING = re.compile(rb"(?:gets?|set|add|cas|delete|incr|decr|stats|version|replace|touch)(?: [^\s]{0,250})?\Z")
_SERVER = re.compile(
    rb"(?:VALUE [^\s]{1,250} \d+ \d+|STORED|NOT_STORED|DELETED|NOT_FOUND|TOUCHED|EXISTS|STAT \w+ |VERSION \d|END|"
    rb"CLIENT_ERROR |SERVER_ERROR |ERROR Too many open)"
)
_WEAK = re.compile(rb"(?:OK|ERROR|\d+|EN|HD|MN)\r\n")
_VALUE = re.compile(rb"(?:VALUE [^\s]{1,250} \d+ (\d{1,10})(?: \d+)?|VA (\d{1,10})(?: .*)?)\Z")
_TITLES = ("VALUE ", "STAT ", "ITEM ")  # lines of an answer that END closes


@decoder
class Memcached(LineDialogue):
    """One connection."""

    name = "memcached"
    ports = frozenset({11211})

    EXAMPLES = (
        (
            b"get report:7 report:8\r\nset k 0 60 5\r\nhello\r\nget k\r\nquit\r\n",
            b"VALUE report:7 0 3\r\nabc\r\nEND\r\nSERVER_ERROR out of memory storing object\r\nEND\r\n",
            [
                "get report:7 report:8",
                "set k (5 bytes)",
                "get k",
                "quit",
                "1 value, 3 bytes",
                "SERVER_ERROR out of memory storing object",
                "no value",
            ],
        ),
        (b"", b"ERROR Too many open connections\r\n", ["ERROR Too many open connections"]),
        (b"stats\r\n", b"STAT pid 1\r\nSTAT uptime 2\r\nEND\r\n", ["stats", "2 lines"]),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: cache\r\n\r\n", b"ERROR\r\n"),
        (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
        (b"get k\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (b"", b"220 mx ESMTP\r\n"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._set: tuple[str, str, bool, Transfer | None] | None = (
            None  # summary, verb, answered?, begun: value follows
        )
        self._values = self._bytes = self._lines = 0
        self._first: Transfer | None = None  # of the answer under way

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        return both(_client_score(client) if client else None, _server_score(server, bool(client)) if server else None)

    def line(self, from_client: bool, line: Line, first: Transfer | None, out: list[Message]) -> None:
        """See `LineDialogue.line`."""
        if from_client:
            self._command(line, first, out)
        elif line.data:
            self._answer(line, first, out)

    def _command(self, line: Line, first: Transfer | None, out: list[Message]) -> None:
        parts = line.data.split(None, 6)
        verb = brief(parts[0], 20) if parts else ""
        if verb not in _VERBS:
            return
        answered = parts[-1] != b"noreply" and verb != "quit"
        where = 4 if verb in _STORAGE else 2 if verb == "ms" else 0
        if where and not line.cut and len(parts) > where and parts[where].isdigit() and len(parts[where]) < 11:
            size = int(parts[where])
            self._set = (f"{verb} {brief(parts[1], 50)} ({size} bytes)", verb, answered, first)
            self.expect_raw(True, size + 2)
            return
        request = self.ask(first, brief(line.data), verb, answered)
        if line.cut:
            unfinished(request, self.cut_reason, None, 0)
        out.append(request)

    def raw_done(self, from_client: bool, head: bytes, size: int, out: list[Message]) -> None:
        """A value has passed."""
        if not from_client:
            self._bytes += size - 2
        elif self._set is not None:
            summary, verb, answered, first = self._set
            self._set = None
            out.append(self.ask(first, summary, verb, answered))

    def _answer(self, line: Line, first: Transfer | None, out: list[Message]) -> None:
        if self._first is None:
            self._first = first
        text = line.data.decode("latin-1")
        found = _VALUE.match(line.data)
        if found:
            self._values += 1
            self.expect_raw(False, int(found[1] or found[2]) + 2)
            if found[2] is None:
                return
            self._finish("1 value", line, out)
        elif text.startswith(_TITLES):
            self._lines += 1
            if line.cut:
                self._finish(f"{self._lines} lines", line, out)
        elif text.startswith(("ERROR", "CLIENT_ERROR", "SERVER_ERROR")):
            self._error(line, out)
        elif text == "END" and self._lines:
            self._finish(f"{self._lines} lines", line, out)
        elif text == "END":
            some = f"{self._values} value{'s' if self._values > 1 else ''}, {self._bytes} bytes"
            self._finish(some if self._values else "no value", line, out)
        else:
            self._finish(brief(line.data), line, out)

    def _error(self, line: Line, out: list[Message]) -> None:
        error = self.make(ServerError, False, self._first, brief(line.data, 200))
        code, _, text = line.data.partition(b" ")
        error.code, error.text = brief(code, 20), words(text)
        self._hand_on(error, line, out)

    def _finish(self, summary: str, line: Line, out: list[Message]) -> None:
        self._hand_on(self.make(Reply, False, self._first, summary), line, out)

    def _hand_on(self, reply: Reply, line: Line, out: list[Message]) -> None:
        self._first, self._values, self._bytes, self._lines = None, 0, 0, 0
        self.answer(reply)
        if line.cut:
            unfinished(reply, self.cut_reason, None, 0)
        out.append(reply)

    def hid(self, from_client: bool, out: list[Message]) -> None:
        """See `Dialogue.hid`."""
        if not from_client:
            self._first, self._values, self._bytes, self._lines = None, 0, 0, 0
        super().hid(from_client, out)

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `LineDialogue.unfinished`."""
        got, size = self.raw_passed(from_client)
        if size:
            kind: type[Unit] = Request if from_client else Reply
            first = self._set[3] if from_client and self._set else self._first
            message = self.make(kind, from_client, first, f"value cut: {min(got, size - 2)} of {size - 2} bytes")
            out.append(unfinished(message, how, size - 2, min(got, size - 2)))
        elif not from_client and self._first is not None:
            text = f"answer cut after {self._values} values, {self._lines} lines: no END"
            out.append(unfinished(self.make(Reply, False, self._first, text), how, None, self._bytes))


def _client_score(client: bytes) -> int:
    if _CLIENT.match(client):
        return 40 if client.startswith((b"stats", b"version")) else 88  # others have these words, too
    return 35 if _BEGINNING.match(client) else 0


def _server_score(server: bytes, asked: bool) -> int:
    if _SERVER.match(server):
        return 75
    if _WEAK.match(server):
        return 45 if asked else 25
    return 30 if len(server) < 6 and any(w.startswith(server) for w in (b"VALUE", b"STORED", b"END", b"ERROR")) else 0
