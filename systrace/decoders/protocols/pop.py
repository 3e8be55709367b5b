"""POP3 (RFC 1939, 2449, 2595, 5034)."""

from __future__ import annotations

import re

from systrace.decoders import decoder
from systrace.decoders.buffer import Line
from systrace.decoders.dialogue import LineDialogue, both, unfinished, words
from systrace.messages.replies import Greeting, Reply, ServerError, brief
from systrace.model import Message, Socket, Transfer

_SERVER = re.compile(rb"(?:\+OK|-ERR)(?: [^\r\n]*)?\r?\n")
_NAMED = re.compile(
    rb"(?:\+OK|-ERR) [^\r\n]*(?:POP|Dovecot|\[(?:SYS|AUTH|IN-USE|LOGIN)|<[^>\r\n]+@[^>\r\n]*>)", re.IGNORECASE
)
_CLIENT = re.compile(rb"(?:CAPA|STLS|UIDL|APOP [^\r\n]+|USER [^\r\n]+|AUTH(?: [A-Z0-9-]+)?|QUIT)\r?\n", re.IGNORECASE)
_OCTETS = re.compile(rb"\+OK\s+\(?(\d{1,10}) octets", re.IGNORECASE)
_VERBS = frozenset("USER PASS APOP AUTH STAT LIST RETR TOP DELE NOOP RSET QUIT UIDL CAPA STLS UTF8 LANG XTND".split())
_HIDDEN = frozenset({"PASS", "APOP", "AUTH"})
_MANY_LINES = frozenset({"RETR", "TOP", "CAPA"})
_MANY_IF_ALONE = frozenset({"LIST", "UIDL"})  # with an argument, one line answers


@decoder
class Pop(LineDialogue):
    """One session."""

    name = "pop"
    ports = frozenset({110})

    EXAMPLES = (
        (
            b"USER job\r\nPASS s3cret\r\nSTAT\r\nRETR 1\r\nQUIT\r\n",
            b"+OK POP3 ready\r\n+OK\r\n+OK logged in\r\n+OK 1 21\r\n+OK 21 octets\r\nSubject: x\r\n\r\nhello\r\n.\r\n"
            b"+OK bye\r\n",
            [
                "USER job",
                "PASS",
                "STAT",
                "RETR 1",
                "QUIT",
                "+OK POP3 ready",
                "+OK",
                "+OK logged in",
                "+OK 1 21",
                "+OK 21 octets (21 bytes)",
                "+OK bye",
            ],
        ),
        (
            b"USER job\r\nPASS s3cret\r\n",
            b"+OK Dovecot ready.\r\n+OK\r\n-ERR [AUTH] Authentication failed.\r\n",
            ["USER job", "PASS", "+OK Dovecot ready.", "+OK", "-ERR [AUTH] Authentication failed."],
        ),
        (
            b"STLS\r\n\x16\x03\x01",
            b"+OK POP3 ready\r\n+OK Begin TLS negotiation now.\r\n",
            ["STLS", "+OK POP3 ready", "+OK Begin TLS negotiation now."],
        ),
    )
    NOT_ME = (
        (b"*1\r\n$4\r\nPING\r\n", b"+OK\r\n"),
        (b"USER job\r\n", b"331 Please specify the password.\r\n"),
        (b"", b"* OK IMAP4rev1 ready\r\n"),
        (b"", b"220 mx ESMTP\r\n"),
        (b"CAPA\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._greeted = bool(socket.inherited)
        self._head: tuple[bytes, Transfer | None] | None = None  # first line of an answer of several
        self._size = 0  # bytes of its other lines
        self._secret = False  # the client's next line is authentication data

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        asked, answered = _client_score(client) if client else None, _server_score(server) if server else None
        return both(asked, answered, together=92)

    def hid(self, from_client: bool, out: list[Message]) -> None:
        """See `Dialogue.hid`; what was hidden may have been the greeting."""
        self._greeted = self._greeted or not from_client
        super().hid(from_client, out)

    def line(self, from_client: bool, line: Line, first: Transfer | None, out: list[Message]) -> None:
        """See `LineDialogue.line`."""
        if from_client:
            self._command(line, first, out)
        elif self._head is not None:
            if line.data == b"." and not line.cut:
                self._finish("", out)
            else:
                self._size += len(line.data) + len(line.ending) - (line.data[:1] == b".")
                if line.cut:
                    self._finish(self.cut_reason, out)
        elif line.data[:3] == b"+OK" or line.data[:4] == b"-ERR" or line.data[:1] == b"+":
            self._reply(line, first, out)

    def _command(self, line: Line, first: Transfer | None, out: list[Message]) -> None:
        name, _, argument = line.data.strip().partition(b" ")
        verb = name.decode("latin-1").upper()
        if self._secret or verb not in _VERBS:
            secret, self._secret = self._secret, False
            if secret or verb:
                out.append(self.ask(first, "authentication data" if secret else "unknown command", ""))
                self.waits = secret
            return
        shown = "" if verb in _HIDDEN or not argument else f" {brief(argument, 60)}"
        request = self.ask(first, verb + shown, verb)
        if line.cut:
            unfinished(request, self.cut_reason, None, 0)
        self.waits = verb in ("STLS", "AUTH")
        out.append(request)

    def _reply(self, line: Line, first: Transfer | None, out: list[Message]) -> None:
        request = self.pending[0] if self.pending else None
        verb = request.verb if request and self._greeted else ""
        if line.data[:4] == b"-ERR":
            error = self.make(ServerError, False, first, brief(line.data, 200))
            error.code, error.text = "-ERR", words(line.data[4:])
            self._hand_on(error, line, out)
        elif not self._greeted:
            greeting = self.make(Greeting, False, first, brief(line.data))
            greeting.text = words(line.data[3:])
            self._hand_on(greeting, line, out)
        elif verb in _MANY_LINES or (request and request.summary in _MANY_IF_ALONE):
            self._head, self._size = (line.data, first), 0
            if line.cut:
                self._finish(self.cut_reason, out)
        else:
            reply = self.make(Reply, False, first, brief(line.data))
            reply.code, reply.text = "+OK", words(line.data[3:])
            self._secret = line.data[:3] != b"+OK"
            self.handed_over = verb == "STLS" and not self._secret
            self._hand_on(reply, line, out)

    def _hand_on(self, reply: Reply, line: Line, out: list[Message]) -> None:
        waited = self.pending[0] if self.pending and self._greeted else None
        if self._greeted:
            self.answer(reply)
        self._greeted = True
        if line.cut:
            unfinished(reply, self.cut_reason, None, 0)
        out.append(reply)
        if self.waits and waited is not None and waited.verb in ("STLS", "AUTH", ""):
            self.release(out)

    def _finish(self, reason: str, out: list[Message]) -> None:
        """An answer of several lines is over."""
        if self._head is None:
            return
        (head, first), size = self._head, self._size
        self._head = None
        found = _OCTETS.match(head)
        declared = int(found[1]) if found else None
        how_much = f"{size} of {declared} bytes" if reason and declared is not None else f"{size} bytes"
        reply = self.make(Reply, False, first, f"{brief(head, 60)} ({how_much})")
        reply.code, reply.text = "+OK", words(head[3:])
        reply.declared_length, reply.received_length = declared, size
        self.answer(reply, final=reason in ("", "clipped"))
        if reason:
            unfinished(reply, reason, declared, size)
        out.append(reply)

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `LineDialogue.unfinished`."""
        if not from_client:
            self._finish(how, out)


def _client_score(client: bytes) -> int:
    if _CLIENT.match(client):
        return 80 if client[:4].upper() in (b"STLS", b"UIDL", b"APOP", b"CAPA") else 48
    return 30 if any(word.startswith(client.upper()) for word in (b"USER ", b"CAPA\r\n", b"APOP ", b"AUTH\r\n")) else 0


def _server_score(server: bytes) -> int:
    if _NAMED.match(server):
        return 94
    if _SERVER.match(server):
        return 50 if server[3:4] == b" " or server[4:5] == b" " else 46
    return 30 if b"+OK".startswith(server) or b"-ERR".startswith(server) or server[:4] in (b"+OK ", b"-ERR") else 0
