"""IMAP4rev1 and rev2 (RFC 3501, 9051), with literals counted through."""

from __future__ import annotations

import re

from systrace.decoders import decoder
from systrace.decoders.buffer import Line
from systrace.decoders.dialogue import LineDialogue, both, unfinished, words
from systrace.messages.replies import Greeting, Reply, Request, ServerError, Unit, brief
from systrace.model import Message, Socket, Transfer

_GREETING = re.compile(rb"\* (?:OK|PREAUTH|BYE)\b")
_COMMAND = re.compile(
    rb"[A-Za-z0-9.$_-]{1,20} (?:CAPABILITY|NOOP|LOGOUT|STARTTLS|AUTHENTICATE|LOGIN|SELECT|EXAMINE|LIST|LSUB|STATUS|"
    rb"APPEND|IDLE|UID|FETCH|SEARCH|ID|ENABLE|NAMESPACE|CLOSE|CREATE|COPY|STORE|EXPUNGE)\b",
    re.IGNORECASE,
)
_BEGINNING = re.compile(rb"[A-Za-z0-9.$_-]{1,20}(?: [A-Za-z]{0,12})?\Z")
_TAGGED = re.compile(rb"([A-Za-z0-9.$_-]{1,40}) (OK|NO|BAD)(?: (.*))?\Z", re.DOTALL)
_LITERAL = re.compile(rb"\{(\d{1,10})(\+?)\}\Z")
_HIDDEN = frozenset({"LOGIN", "AUTHENTICATE"})


@decoder
class Imap(LineDialogue):
    """One session."""

    name = "imap"
    ports = frozenset({143})

    EXAMPLES = (
        (
            b'a1 LOGIN job "s3cret"\r\na2 SELECT INBOX\r\na3 FETCH 1 BODY[]\r\na4 LOGOUT\r\n',
            b"* OK [CAPABILITY IMAP4rev1] ready\r\na1 OK Logged in\r\n* 1 EXISTS\r\n* 0 RECENT\r\na2 OK done\r\n"
            b"* 1 FETCH (BODY[] {12}\r\nSubject: x\r\n)\r\na3 OK Fetch completed.\r\n"
            b"* BYE Logging out\r\na4 OK bye\r\n",
            [
                "LOGIN",
                "SELECT INBOX",
                "FETCH 1 BODY[]",
                "LOGOUT",
                "OK [CAPABILITY IMAP4rev1] ready",
                "OK Logged in",
                "OK done (+2 lines)",
                "OK Fetch completed. (+1 lines)",
                "BYE Logging out",
                "OK bye",
            ],
        ),
        (
            b"a1 LOGIN job wrong\r\n",
            b"* OK IMAP4rev1 ready\r\na1 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n",
            ["LOGIN", "OK IMAP4rev1 ready", "NO [AUTHENTICATIONFAILED] Authentication failed."],
        ),
        (b"", b"* BYE [UNAVAILABLE] Too many connections\r\n", ["BYE [UNAVAILABLE] Too many connections"]),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: imap\r\n\r\n", b""),
        (b"", b"+OK POP3 ready\r\n"),
        (b"", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        (b"a1 LOGIN job x\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (b"", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._greeted = bool(socket.inherited)
        self._tags: dict[bytes, Request] = {}
        self._untagged = 0
        self._last_verb = ""
        self._continued = {True: False, False: False}  # a literal was in the line: what follows belongs to it
        self._literal: dict[bool, Transfer | None] = {True: None, False: None}  # call in which its line began
        self._secret = False  # authentication data comes next

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        return both(_client_score(client) if client else None, _server_score(server) if server else None)

    def line(self, from_client: bool, line: Line, first: Transfer | None, out: list[Message]) -> None:
        """See `LineDialogue.line`."""
        continued, self._continued[from_client] = self._continued[from_client], False
        if not continued:
            self._literal[from_client] = first
            if from_client:
                self._command(line, first, out)
            else:
                self._response(line, first, out)
        found = None if line.cut else _LITERAL.search(line.data)
        if found and not self.handed_over:
            self._continued[from_client] = True
            self.expect_raw(from_client, int(found[1]))

    def _command(self, line: Line, first: Transfer | None, out: list[Message]) -> None:
        if self._secret:
            self._secret = False
            return
        tag, _, rest = line.data.partition(b" ")
        name, _, argument = rest.partition(b" ")
        verb = name.decode("latin-1").upper()
        if not tag or not verb.isalpha():
            return  # DONE, or a line of a mail whose start is not known
        shown = "" if verb in _HIDDEN or not argument else f" {brief(argument, 60)}"
        request = self.make(Request, True, first, brief(verb + shown))
        request.verb = brief(verb, 20)
        request.awaits = "itself" if verb == "IDLE" else ""  # RFC 2177
        if line.cut:
            unfinished(request, self.cut_reason, None, 0)
        self._tags[tag] = request
        self._last_verb = verb
        if len(self._tags) > 1000:
            self._tags.clear()
        self.waits = verb in ("STARTTLS", "AUTHENTICATE")
        out.append(request)

    def _response(self, line: Line, first: Transfer | None, out: list[Message]) -> None:
        data = line.data
        if data[:1] == b"+":
            self._secret = self.waits
            if self.waits:
                self.release(out)
            return
        if data[:2] == b"* ":
            self._untagged_response(line, first, out)
            return
        found = _TAGGED.match(data)
        if found is None:
            return
        status, text = found[2].decode("ascii"), found[3] or b""
        request = self._tags.pop(found[1], None)
        count, self._untagged = self._untagged, 0
        reply: Reply
        if status == "OK":
            more = f" (+{count} lines)" if count else ""
            reply = self.make(Reply, False, first, f"OK {brief(text, 70)}{more}")
        else:
            reply = self.make(ServerError, False, first, f"{status} {brief(text, 190)}")
        self._hand_on(reply, status, text, line, out)
        if request is not None:
            reply.request, request.answered = request, True
            self.handed_over = request.verb == "STARTTLS" and status == "OK"
        if self.waits:
            self._secret = False
            self.release(out)

    def hid(self, from_client: bool, out: list[Message]) -> None:
        """See `Dialogue.hid`; what was hidden may have been the greeting, or LOGOUT."""
        if from_client:
            self._last_verb = "LOGOUT"
        self._greeted = self._greeted or not from_client
        super().hid(from_client, out)

    def _untagged_response(self, line: Line, first: Transfer | None, out: list[Message]) -> None:
        word, _, text = line.data[2:].partition(b" ")
        greeting, self._greeted = not self._greeted, True
        if word == b"BYE":
            leaving = bool(self._last_verb) and "LOGOUT".startswith(self._last_verb)  # the word may be cut
            reply: Reply = self.make(Reply if leaving else ServerError, False, first, f"BYE {brief(text, 190)}")
            self._hand_on(reply, "BYE", text, line, out)
        elif greeting and word in (b"OK", b"PREAUTH"):
            reply = self.make(Greeting, False, first, brief(line.data[2:]))
            self._hand_on(reply, word.decode("ascii"), text, line, out)
        else:
            self._untagged += 1

    def _hand_on(self, reply: Reply, code: str, text: bytes, line: Line, out: list[Message]) -> None:
        reply.code, reply.text = code, words(text)
        if line.cut:
            unfinished(reply, self.cut_reason, None, 0)
        out.append(reply)

    def settle_all(self) -> None:
        """See `Dialogue.settle_all`."""
        for request in self._tags.values():
            request.answered = True
        self._tags.clear()

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `LineDialogue.unfinished`."""
        got, size = self.raw_passed(from_client)
        if size:
            kind: type[Unit] = Request if from_client else Reply
            message = self.make(kind, from_client, self._literal[from_client], f"literal cut: {got} of {size} bytes")
            out.append(unfinished(message, how, size, got))


def _client_score(client: bytes) -> int:
    if _COMMAND.match(client):
        return 88
    return 25 if _BEGINNING.match(client) else 0


def _server_score(server: bytes) -> int:
    if _GREETING.match(server):
        return 92
    if server[:2] == b"* " or _TAGGED.match(server.split(b"\r", 1)[0]):
        return 50
    return 30 if server == b"*" else 0
