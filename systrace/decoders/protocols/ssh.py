"""SSH as far as it is in clear: banners, the algorithms that both sides offer, disconnects (RFC 4253)."""

from __future__ import annotations

import re

from systrace.decoders import decoder
from systrace.decoders.dialogue import FramedDialogue, both, unfinished, words
from systrace.messages.replies import Greeting, Reply, ServerError, Unit, brief
from systrace.model import Message, Socket, Transfer

DISCONNECT, KEXINIT, NEWKEYS = 1, 20, 21
LARGEST = 256 << 10  # bytes of a packet; OpenSSH's PACKET_MAX_SIZE
LONGEST_LINE = 1024  # bytes before a banner's line end
_REFUSALS = re.compile(rb"(?:Exceeded MaxSt|Not allowed at t)(?:artups|his time)?")
_LISTS = ("key exchange", "host key", "cipher", "cipher")  # those that must have a name in common, in KEXINIT's order


@decoder
class Ssh(FramedDialogue):
    """One connection, until its keys are taken into use."""

    name = "ssh"
    ports = frozenset({22, 2222})
    header = 5

    EXAMPLES = (
        (
            b"SSH-2.0-paramiko_3.4.0\r\n",
            b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
            b"\x00\x00\x00\x1b\x04\x01\x00\x00\x00\x02\x00\x00\x00\x09Too lazy." + bytes(8),
            ["SSH-2.0-paramiko_3.4.0", "SSH-2.0-OpenSSH_9.2p1 Debian-2", "disconnect 2: Too lazy."],
        ),
        (b"SSH-2.0-Go\r\n", b"Exceeded MaxStartups\r\n", ["SSH-2.0-Go", "Exceeded MaxStartups"]),
        (b"", b"Not allowed at this time\r\n", ["Not allowed at this time"]),
    )
    NOT_ME = (
        (b"GET / HTTP/1.1\r\nHost: git\r\n\r\n", b""),
        (b"", b"220 (vsFTPd 3.0.5)\r\n"),
        (b"SSH-2.0-Go\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        (b"", b"RFB 003.008\n"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._banner = {True: False, False: False}  # has come
        self._opaque = {True: False, False: False}  # its new keys are in use
        self._offers: dict[bool, list[list[str]]] = {}

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        return both(_score(client) if client else None, _score(server) if server else None)

    def frame_size(self, from_client: bool, head: bytes) -> int:
        """See `FramedDialogue.frame_size`. A banner is found by its line end, so it is looked for in the buffer."""
        if not self._banner[from_client]:
            buffer = self.buffer(from_client)
            end = buffer.find(b"\n")
            if end < 0 and buffer.stuck:
                return buffer.known + buffer.hole
            return end + 1 if end >= 0 else -1 if buffer.known > LONGEST_LINE else 0
        if len(head) < 5:
            return 0
        size = int.from_bytes(head[:4], "big")
        return size + 4 if 5 <= size <= LARGEST and 4 <= head[4] < size else -1

    def opaque(self, from_client: bool) -> bool:
        """See `FramedDialogue.opaque`."""
        return self._opaque[from_client]

    def begins(self, from_client: bool, head: bytes) -> bool:
        """See `FramedDialogue.begins`. Only names of algorithms prove a clear packet: some ciphers leave lengths clear."""
        if len(head) < 27 or head[5] != KEXINIT or not self._banner[from_client]:
            return False
        size = int.from_bytes(head[22:26], "big")  # of the first list, behind length, padding, kind and cookie
        return size < LARGEST and all(32 < byte < 127 for byte in head[26 : 26 + size])

    def frame(self, from_client: bool, data: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        """See `FramedDialogue.frame`."""
        if not self._banner[from_client]:
            hidden = len(data) < size
            if not hidden or data.startswith(b"SSH-"):
                self._line(from_client, data.rstrip(b"\r\n"), first, out)
            if hidden:  # where the first packet begins is hidden, too
                self._banner[from_client] = self._lost[from_client] = True
            return
        kind, payload = (data[5] if len(data) > 5 else 0), data[6:]
        if kind == KEXINIT:
            self._offer(from_client, payload, first, out)
        elif kind == NEWKEYS:
            self._opaque[from_client] = True
            out.append(self.make(Reply, from_client, first, "new keys: encrypted from here on"))
        elif kind == DISCONNECT and len(payload) >= 8:
            length = int.from_bytes(payload[4:8], "big")
            self._disconnect(from_client, int.from_bytes(payload[:4], "big"), payload[8 : 8 + length], first, out)

    def _line(self, from_client: bool, line: bytes, first: Transfer | None, out: list[Message]) -> None:
        """A banner, or what a server says in front of it (RFC 4253 4.2), or instead of it."""
        text = brief(line, 120)
        if line.startswith(b"SSH-"):
            self._banner[from_client] = True
            message = self.make(Greeting, from_client, first, text)
            message.text = text
            out.append(message)
        elif not from_client and _REFUSALS.match(line):
            error = self.make(ServerError, False, first, text)
            error.text = words(line)
            out.append(error)
        elif not from_client and line:
            notice = self.make(Reply, False, first, text)
            notice.text = words(line)
            out.append(notice)

    def _offer(self, from_client: bool, payload: bytes, first: Transfer | None, out: list[Message]) -> None:
        """KEXINIT: 16 random bytes, then ten lists of names, of which the first four matter."""
        lists: list[list[str]] = []
        at = 16
        while len(lists) < len(_LISTS) and at + 4 <= len(payload):
            length = int.from_bytes(payload[at : at + 4], "big")
            names = payload[at + 4 : at + 4 + length]
            if len(names) < length:
                break
            lists.append(names.decode("latin-1").split(","))
            at += 4 + length
        self._offers[from_client] = lists
        shown = ", ".join(brief(names[0], 30) for names in lists[:3:2] if names)
        out.append(self.make(Reply, from_client, first, f"offers {shown}" if shown else "offers algorithms"))
        other = self._offers.get(not from_client)
        if other is not None:
            self._compare(from_client, first, out)

    def _compare(self, from_client: bool, first: Transfer | None, out: list[Message]) -> None:
        """Say which list the two sides have no name of in common: the connection cannot succeed."""
        for what, ours, theirs in zip(_LISTS, self._offers[True], self._offers[False], strict=False):
            if not set(ours) & set(theirs):
                error = self.make(ServerError, from_client, first, f"no common {what}: {brief(','.join(theirs), 80)}")
                error.code, error.text = "negotiation", f"no common {what}"
                out.append(error)
                return

    def _disconnect(
        self, from_client: bool, code: int, text: bytes, first: Transfer | None, out: list[Message]
    ) -> None:
        kind = Reply if from_client else ServerError
        message = self.make(kind, from_client, first, f"disconnect {code}: {brief(text, 150)}")
        message.code, message.text = str(code), words(text)
        out.append(message)

    def cut(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `Dialogue.cut`; what follows new keys has no visible end."""
        buffer = self.buffer(from_client)
        if not self._banner[from_client] and buffer.size:
            first, data = buffer.here, buffer.take(min(buffer.size, LONGEST_LINE))[0]
            buffer.skip(buffer.size)
            at = len(out)
            self._line(from_client, data, first, out)
            for message in out[at:]:
                if isinstance(message, Unit):
                    unfinished(message, how, None, len(data))
        elif not self._opaque[from_client]:
            super().cut(from_client, how, out)


def _score(head: bytes) -> int:
    if head.startswith((b"SSH-2.0-", b"SSH-1.")):
        return 99
    if _REFUSALS.match(head):
        return 91
    return 30 if b"SSH-2.0-".startswith(head) or any(t.startswith(head) for t in (b"Exceeded Max", b"Not allow")) else 0
