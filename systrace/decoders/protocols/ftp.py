"""FTP's control connection (RFC 959, 2428, 4217), with the addresses of the data connections that it arranges."""

from __future__ import annotations

import re

from systrace.annotations import host_of
from systrace.decoders import decoder
from systrace.decoders.code_replies import CodeDialogue
from systrace.decoders.dialogue import both
from systrace.messages.replies import FtpReply, FtpRequest, Reply, brief
from systrace.model import Endpoint, Message, Transfer

_GREETING = re.compile(rb"(?:220|120)[ -][^\n]*(?:FTP|ftp|FileZilla)")
_MAIL = re.compile(rb"220[ -][^\r\n]*SMTP|([245])\d\d[ -]\1\.\d{1,3}\.\d")
_CODE = re.compile(rb"(?:120|220|230|331|421|500|530|5[03]\d)[ -]")
_COMMAND = re.compile(
    rb"(?:USER [^\r\n]*|PASS [^\r\n]*|AUTH (?:TLS|SSL)(?:-\w)?|PASV|EPSV|FEAT|SYST|TYPE [AI]|CWD [^\r\n]*|"
    rb"(?:RETR|STOR|NLST|LIST|SIZE|MDTM) [^\r\n]*|QUIT)\r?\n",
    re.IGNORECASE,
)
_SURE = re.compile(rb"(?:PASV|EPSV|SYST|TYPE [AI]|CWD |RETR |STOR |AUTH (?:TLS|SSL))", re.IGNORECASE)
_PASSIVE = re.compile(rb"(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})")
_EXTENDED_PASSIVE = re.compile(rb"\((.)\1\1(\d{1,5})\1\)")
_EXTENDED_ACTIVE = re.compile(rb"(.)([12])\1([0-9A-Fa-f:.]{2,45})\1(\d{1,5})\1")


@decoder
class Ftp(CodeDialogue):
    """One control connection."""

    name = "ftp"
    ports = frozenset({21, 2121})

    EXAMPLES = (
        (
            b"USER job\r\nPASS s3cret\r\nPASV\r\nRETR report.csv\r\n",
            b"220 (vsFTPd 3.0.5)\r\n331 Please specify the password.\r\n230 Login successful.\r\n"
            b"227 Entering Passive Mode (192,0,2,7,156,64).\r\n150 Opening BINARY mode data connection.\r\n"
            b"226 Transfer complete.\r\n",
            [
                "USER job",
                "PASS",
                "PASV",
                "RETR report.csv",
                "220 (vsFTPd 3.0.5)",
                "331 Please specify the password.",
                "230 Login successful.",
                "227 Entering Passive Mode (192,0,2,7,156,64).",
                "150 Opening BINARY mode data connection.",
                "226 Transfer complete.",
            ],
        ),
        (
            b"USER job\r\n",
            b"220-Welcome to the FTP server\r\n  be nice\r\n220 ready\r\n530 Login incorrect.\r\n",
            ["USER job", "220 Welcome to the FTP server (+2 lines)", "530 Login incorrect."],
        ),
        (
            b"EPSV\r\nEPRT |2|2001:db8::7|5282|\r\nPORT 192,0,2,9,4,1\r\n",
            b"220 FTP\r\n229 Entering Extended Passive Mode (|||6446|)\r\n200 ok\r\n"
            b"425 Can't open data connection.\r\n",
            [
                "EPSV",
                "EPRT |2|2001:db8::7|5282|",
                "PORT 192,0,2,9,4,1",
                "220 FTP",
                "229 Entering Extended Passive Mode (|||6446|)",
                "200 ok",
                "425 Can't open data connection.",
            ],
        ),
    )
    NOT_ME = (
        (b"", b"220 mx.example ESMTP Postfix\r\n"),
        (b"EHLO job\r\n", b"220 Welcome\r\n"),
        (b"USER job\r\n", b"+OK POP3 ready\r\n"),
        (b"", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        (b"USER job\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    )
    verbs = frozenset(
        b"USER PASS ACCT CWD CDUP SMNT QUIT REIN PORT PASV TYPE STRU MODE RETR STOR STOU APPE ALLO REST RNFR RNTO ABOR "
        b"DELE RMD MKD PWD LIST NLST SITE SYST STAT HELP NOOP FEAT OPTS AUTH PBSZ PROT CCC EPRT EPSV MDTM SIZE MLST "
        b"MLSD MFMT CLNT HOST LANG XPWD XMKD XRMD XCWD XCUP ADAT".split()
    )

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        asked, answered = _client_score(client) if client else None, _server_score(server) if server else None
        return both(asked, answered, together=92 if client[:4].upper() != b"QUIT" else 0)

    def command(self, name: bytes, argument: bytes, first: Transfer | None, out: list[Message]) -> None:
        """See `CodeDialogue.command`."""
        shown = "" if name in (b"PASS", b"ACCT", b"ADAT") or not argument else f" {brief(argument, 70)}"
        request = self.make(FtpRequest, True, first, name.decode("ascii") + shown)
        request.verb = name.decode("ascii")
        if name == b"PORT":
            request.data = _address(argument)
        elif name == b"EPRT" and (found := _EXTENDED_ACTIVE.match(argument)) and int(found[4]) < 65536:
            family = "inet" if found[2] == b"1" else "inet6"
            request.data = Endpoint(family, host_of(found[3].decode("ascii", "replace")), int(found[4]))
        self.waits = name == b"AUTH"
        out.append(self.expect(request))

    def reply_kind(self, code: bytes, lines: list[bytes]) -> type[Reply]:
        """See `CodeDialogue.reply_kind`."""
        return FtpReply

    def replied(self, reply: Reply, out: list[Message]) -> None:
        """See `CodeDialogue.replied`."""
        if isinstance(reply, FtpReply) and reply.complete:
            text = reply.text.encode("utf-8")
            if reply.code == "227":
                reply.data = _address(text)
            elif reply.code == "229" and (found := _EXTENDED_PASSIVE.search(text)) and int(found[2]) < 65536:
                peer = self.socket.local if self.socket.role == "server" else self.socket.peer
                reply.data = Endpoint(peer.family if peer else "inet", peer.host if peer else "", int(found[2]))
        if self.waits and (reply.request is None or reply.request.verb == "AUTH"):
            self.handed_over = reply.code == "234"
            self.release(out)


def _address(text: bytes) -> Endpoint | None:
    """Host and port as PORT and 227 write them: h1,h2,h3,h4,p1,p2."""
    found = _PASSIVE.search(text)
    numbers = [int(group) for group in found.groups()] if found else [256]
    if max(numbers) > 255:
        return None
    return Endpoint("inet", ".".join(str(n) for n in numbers[:4]), numbers[4] * 256 + numbers[5])


def _client_score(client: bytes) -> int:
    if _SURE.match(client):
        return 92
    if _COMMAND.match(client):
        return 50
    return 30 if any(word.startswith(client.upper()) for word in (b"USER ", b"AUTH TLS", b"FEAT\r\n", b"PASV")) else 0


def _server_score(server: bytes) -> int:
    if _MAIL.match(server):
        return 0
    if _GREETING.match(server):
        return 93
    if _CODE.match(server):
        return 45
    return 30 * (len(server) < 4 and server[:1] in b"1245" and (len(server) == 1 or server[1:].isdigit()))
