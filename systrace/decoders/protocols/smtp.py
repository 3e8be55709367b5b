"""SMTP, submission and LMTP (RFC 5321, 3207, 4954, 3030, 2033)."""

from __future__ import annotations

import re

from systrace.decoders import decoder
from systrace.decoders.buffer import Line
from systrace.decoders.code_replies import CodeDialogue
from systrace.decoders.dialogue import both, unfinished
from systrace.messages.replies import Reply, Request
from systrace.model import Message, Socket, Transfer

_GREETING = re.compile(rb"220[ -][^\r\n]*\b(?:E?SMTP|LMTP|Postfix|Exim|Sendmail)\b")
_ENHANCED = re.compile(rb"([245])\d\d[ -]\1\.\d{1,3}\.\d")
_CODE = re.compile(rb"(?:220|250|421|45\d|5[05]\d)[ -]")
_FTP = re.compile(rb"220[^\n]*(?:FTP|ftp)")
_HELLO = re.compile(rb"(?:EHLO|HELO|LHLO) ", re.IGNORECASE)
_COMMAND = re.compile(rb"(?:MAIL FROM:|RCPT TO:|STARTTLS\r\n|QUIT\r\n|NOOP\r\n|RSET\r\n|VRFY )", re.IGNORECASE)


@decoder
class Smtp(CodeDialogue):
    """One session."""

    name = "smtp"
    ports = frozenset({25, 587, 2525, 24})

    EXAMPLES = (
        (
            b"EHLO job.example\r\nMAIL FROM:<a@job.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n"
            b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n",
            b"220 mx.example ESMTP\r\n250-mx.example\r\n250-SIZE 1000\r\n250 HELP\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"
            b"354 End data with <CR><LF>.<CR><LF>\r\n452 4.3.1 Insufficient system storage\r\n221 2.0.0 Bye\r\n",
            [
                "EHLO job.example",
                "MAIL FROM:<a@job.example>",
                "RCPT TO:<b@x.example>",
                "DATA",
                "220 mx.example ESMTP",
                "250 mx.example (+2 lines)",
                "250 2.1.0 Ok",
                "250 2.1.5 Ok",
                "354 End data with <CR><LF>.<CR><LF>",
                "mail of 21 bytes",
                "QUIT",
                "452 4.3.1 Insufficient system storage",
                "221 2.0.0 Bye",
            ],
        ),
        (
            b"",
            b"554 5.7.1 Service unavailable; blocked using zen.example\r\n",
            ["554 5.7.1 Service unavailable; blocked using zen.example"],
        ),
        (
            b"EHLO job\r\nAUTH LOGIN\r\nam9i\r\nc2VjcmV0\r\nQUIT\r\n",
            b"220 mx.example ESMTP\r\n250 AUTH LOGIN\r\n334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n"
            b"535 5.7.8 authentication failed\r\n",
            [
                "EHLO job",
                "AUTH",
                "220 mx.example ESMTP",
                "250 AUTH LOGIN",
                "334 VXNlcm5hbWU6",
                "authentication data",
                "334 UGFzc3dvcmQ6",
                "authentication data",
                "535 5.7.8 authentication failed",
                "QUIT",
            ],
        ),
        (
            b"EHLO job\r\n",
            b"220 mx.example ESMTP Postfix\r\n421-4.3.2 Too many\r\n421 4.3.2 connections\r\n",
            ["EHLO job", "220 mx.example ESMTP Postfix", "421 4.3.2 Too many 4.3.2 connections"],
        ),
    )
    NOT_ME = (
        (b"", b"220 (vsFTPd 3.0.5)\r\n"),
        (b"USER job\r\n", b"220 Welcome\r\n"),
        (b"", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        (b"EHLO job\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (b"GET / HTTP/1.1\r\nHost: mx\r\n\r\n", b"220 mx ESMTP\r\n"),
        (b"", b"+OK POP3 ready\r\n"),
    )

    verbs = frozenset(
        b"EHLO HELO LHLO MAIL RCPT DATA BDAT AUTH STARTTLS RSET NOOP QUIT VRFY EXPN HELP ETRN XCLIENT XFORWARD".split()
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._mail: Transfer | None = None  # the call in which the mail under way began
        self._in_mail = False
        self._size = 0  # bytes of mail so far
        self._secret = False  # the next line is authentication data

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        return both(_client_score(client) if client else None, _server_score(server) if server else None)

    def command(self, name: bytes, argument: bytes, first: Transfer | None, out: list[Message]) -> None:
        """See `CodeDialogue.command`."""
        super().command(name, argument, first, out)
        if name in (b"DATA", b"AUTH", b"STARTTLS"):
            self.waits = True
        elif name == b"BDAT" and (size := argument.partition(b" ")[0]).isdigit() and len(size) < 12:
            self.expect_raw(True, int(size))

    def client_line(self, line: Line, first: Transfer | None, out: list[Message]) -> bool:
        """See `CodeDialogue.client_line`."""
        if self._in_mail:
            if self._mail is None:
                self._mail = first
            if line.data == b"." and not line.cut:
                self._end_mail("", out)
            else:
                self._size += len(line.data) + len(line.ending) - (line.data[:1] == b".")
            return True
        if self._secret:
            self._secret, self.waits = False, True
            out.append(self.ask(first, "authentication data", "AUTH"))
            return True
        return False

    def _end_mail(self, reason: str, out: list[Message]) -> None:
        self._in_mail = False
        size, begun, self._size, self._mail = self._size, self._mail, 0, None
        if begun is None and self.client.last is None:
            return  # the log shows nothing of this client
        request = self.ask(begun or self.client.last, f"mail of {size} bytes", "mail")
        if reason:
            request.summary = (
                f"mail of at least {size} bytes" if reason == "clipped" else f"mail cut after {size} bytes"
            )
            unfinished(request, reason, None, size)
        out.append(request)

    def replied(self, reply: Reply, out: list[Message]) -> None:
        """See `CodeDialogue.replied`."""
        request = reply.request
        if self._in_mail and reply.code[:1] != "3":
            self._end_mail("clipped", out)  # its end was in a hole
            self.settle_all()
        if reply.code == "354":  # it answers nothing but DATA, which a hole may hide
            self._in_mail = True
        if request is None:
            return
        if request.verb == "AUTH" and reply.code == "334":
            self._secret = True
        elif request.verb == "STARTTLS" and reply.code == "220":
            self.handed_over = True
        if self.waits and request.verb in ("DATA", "AUTH", "STARTTLS"):
            self.release(out)

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `LineDialogue.unfinished`."""
        super().unfinished(from_client, how, out)
        if from_client and self._in_mail:
            self._end_mail(how, out)
        got, size = self.raw_passed(True)
        if from_client and size:
            out.append(unfinished(self.make(Request, True, None, f"mail: {got} of {size} bytes"), how, size, got))


def _client_score(client: bytes) -> int:
    if _HELLO.match(client):
        return 95
    if _COMMAND.match(client):
        return 85 if client[:4].upper() in (b"MAIL", b"RCPT") else 45
    return 30 if any(word.startswith(client.upper()) for word in (b"EHLO ", b"HELO ", b"LHLO ")) else 0


def _server_score(server: bytes) -> int:
    if _GREETING.match(server):
        return 95
    if _FTP.match(server):
        return 0
    if _ENHANCED.match(server):
        return 80
    if _CODE.match(server):
        return 45
    return 30 * (len(server) < 4 and server[:1] in b"245" and (len(server) == 1 or server[1:].isdigit()))
