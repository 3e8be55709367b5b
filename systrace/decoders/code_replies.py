"""Three-digit replies of one or several lines, as FTP and SMTP have them (RFC 959 4.2, RFC 5321 4.2)."""

from __future__ import annotations

import re
from typing import ClassVar

from systrace.decoders.buffer import Line
from systrace.decoders.dialogue import LineDialogue, unfinished, words
from systrace.messages.replies import TEXT, Greeting, Reply, Request, ServerError, brief
from systrace.model import Message, Socket, Transfer

MOST_LINES = 200  # of a reply, remembered
_REPLY = re.compile(rb"([1-5]\d\d)(?:([ -])(.*))?\Z", re.DOTALL)


class CodeDialogue(LineDialogue):
    """A server that greets with 2xx and answers with codes. A subclass defines `command` and `replied`."""

    verbs: ClassVar[frozenset[bytes]]  # what else comes is not repeated: it may be part of a secret
    hidden: ClassVar[frozenset[bytes]] = frozenset({b"PASS", b"ACCT", b"AUTH"})  # their argument may be a secret

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self.greeted = bool(socket.inherited)
        self._code = b""  # of the reply under way
        self._lines: list[bytes] = []
        self._first: Transfer | None = None

    def command(self, name: bytes, argument: bytes, first: Transfer | None, out: list[Message]) -> None:
        """The client's command, its name in upper case."""
        shown = "" if name in self.hidden or not argument else f" {brief(argument, 70 - len(name))}"
        out.append(self.ask(first, name.decode("latin-1") + shown, name.decode("latin-1")))

    def client_line(self, line: Line, first: Transfer | None, out: list[Message]) -> bool:
        """A line of the client that may be no command (mail, authentication data): True when it was taken."""
        return False

    def replied(self, reply: Reply, out: list[Message]) -> None:
        """A reply has been handed on; `reply.request` is the command."""

    def interim(self, code: bytes) -> bool:
        """Another reply to the same command follows this one."""
        return code[:1] == b"1"

    def reply_kind(self, code: bytes, lines: list[bytes]) -> type[Reply]:
        """The class of a reply that is neither greeting nor error."""
        return Reply

    def hid(self, from_client: bool, out: list[Message]) -> None:
        """See `Dialogue.hid`; what was hidden may have been the greeting."""
        self.greeted = self.greeted or not from_client
        super().hid(from_client, out)

    # ------------------------------------------------------------------------------------------------------- reading

    def line(self, from_client: bool, line: Line, first: Transfer | None, out: list[Message]) -> None:
        """See `LineDialogue.line`."""
        if not from_client:
            self._server_line(line, first, out)
        elif not self.client_line(line, first, out):
            name, _, argument = line.data.strip().partition(b" ")
            name, at = name.upper(), len(out)
            if name in self.verbs:
                self.command(name, argument.strip(), first, out)
                if line.cut and isinstance(request := out[at], Request):
                    unfinished(request, self.cut_reason, None, 0)
                    self.expect_nothing(True)
            elif name:
                out.append(self.ask(first, "unknown command", ""))

    def _server_line(self, line: Line, first: Transfer | None, out: list[Message]) -> None:
        found = _REPLY.match(line.data)
        code, mark, text = (found[1], found[2] or b" ", found[3] or b"") if found else (b"", b"", line.data)
        if self._code and code != self._code:
            if len(self._lines) < MOST_LINES:
                self._lines.append(line.data)
            if line.cut:
                self._finish(self.cut_reason, out)
            return
        if not found:
            return
        if not self._code:
            self._code, self._first, self._lines = code, first, []
        if len(self._lines) < MOST_LINES:
            self._lines.append(text)
        if mark == b" " or line.cut:
            self._finish(self.cut_reason if line.cut else "", out)

    def _finish(self, reason: str, out: list[Message]) -> None:
        code, lines, first = self._code, self._lines, self._first
        self._code, self._lines = b"", []
        number = code.decode("ascii")
        text = words(b" ".join(part.strip() for part in lines)[: TEXT * 2])
        greeting, self.greeted = not self.greeted, True
        more = f" (+{len(lines) - 1} lines)" if len(lines) > 1 else ""
        reply: Reply
        if code[:1] in b"45":
            reply = self.make(ServerError, False, first, f"{number} {brief(text, 200)}")
        else:
            kind = Greeting if greeting else self.reply_kind(code, lines)
            reply = self.make(kind, False, first, f"{number} {brief(lines[0], 70)}{more}".strip())
        reply.code, reply.text = number, text
        if not greeting and not (code == b"421" and not self.pending):
            self.answer(reply, final=not self.interim(code))
        if reason:
            unfinished(reply, reason, None, 0)
        out.append(reply)
        self.replied(reply, out)

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `LineDialogue.unfinished`."""
        if not from_client and self._code:
            self._finish(how, out)
