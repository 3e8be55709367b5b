"""rsync's daemon protocol up to the module: `@RSYNCD: 31.0`, the module's name, `@RSYNCD: OK` or `@ERROR: ...`.

What follows is binary, and is counted no more. Source: rsync's clientserver.c; it has no specification.
"""

from __future__ import annotations

import re

from systrace.decoders import decoder
from systrace.decoders.buffer import Line
from systrace.decoders.dialogue import LineDialogue, both, unfinished, words
from systrace.messages.replies import Greeting, Reply, ServerError, brief
from systrace.model import Message, Socket, Transfer

_VERSION = re.compile(rb"@RSYNCD: \d{1,3}\.\d")
_MOTD_LINES = 500  # lines of a message of the day or a list of modules that are looked at


@decoder
class Rsync(LineDialogue):
    """One session."""

    name = "rsync"
    ports = frozenset({873})

    EXAMPLES = (
        (
            b"@RSYNCD: 31.0 sha512 md5 md4\nprices\n",
            b"@RSYNCD: 31.0 sha512 md5 md4\nwelcome\n@RSYNCD: OK\n\x01\x02",
            ["@RSYNCD: 31.0 sha512 md5 md4", "module prices", "@RSYNCD: 31.0 sha512 md5 md4", "@RSYNCD: OK"],
        ),
        (
            b"@RSYNCD: 30.0\nprices\n",
            b"@RSYNCD: 30.0\n@ERROR: Unknown module 'prices'\n",
            ["@RSYNCD: 30.0", "module prices", "@RSYNCD: 30.0", "@ERROR: Unknown module 'prices'"],
        ),
        (
            b"@RSYNCD: 30.0\nprices\njob 8Yc2\n",
            b"@RSYNCD: 30.0\n@RSYNCD: AUTHREQD 8hX\n@ERROR: auth failed on module prices\n",
            [
                "@RSYNCD: 30.0",
                "module prices",
                "@RSYNCD: 30.0",
                "@RSYNCD: AUTHREQD 8hX",
                "authentication data",
                "@ERROR: auth failed on module prices",
            ],
        ),
    )
    NOT_ME = (
        (b"", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        (b"@RSYNCD: 31.0\n", b"220 mx ESMTP\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", b"@RSYNCD: 31.0\n"),
    )

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._greeted = False
        self._asked = 0  # lines of the client
        self._over = False  # binary from here on
        self._free = 0  # lines of free text

    @classmethod
    def identify(cls, client: bytes, server: bytes) -> int:
        """See `Decoder.identify`."""
        return both(_score(client) if client else None, _score(server) if server else None)

    def held(self, from_client: bool) -> bool:
        """See `Dialogue.held`; the transfer itself is skipped."""
        if self._over:
            buffer = self.buffer(from_client)
            buffer.skip(buffer.size)
        return super().held(from_client)

    def hid(self, from_client: bool, out: list[Message]) -> None:
        """See `Dialogue.hid`; what was hidden may have been the last line."""
        self._over = self._over or self._greeted
        super().hid(from_client, out)

    def line(self, from_client: bool, line: Line, first: Transfer | None, out: list[Message]) -> None:
        """See `LineDialogue.line`."""
        if from_client:
            self._client_line(line, first, out)
        elif line.data.startswith(b"@ERROR"):
            error = self.make(ServerError, False, first, brief(line.data, 200))
            error.code, error.text = "@ERROR", words(line.data.partition(b":")[2])
            self._hand_on(error, line, out, last=True)
        elif line.data.startswith(b"@RSYNCD:"):
            reply = self.make(Reply if self._greeted else Greeting, False, first, brief(line.data))
            reply.text = words(line.data.partition(b":")[2])
            last = line.data.startswith((b"@RSYNCD: OK", b"@RSYNCD: EXIT"))
            maybe = self._greeted and line.cut and b"@RSYNCD: OK".startswith(line.data)
            self._hand_on(reply, line, out, last or maybe)
            self._greeted = True
        else:
            self._free += 1
            self._over = self._free > _MOTD_LINES

    def _client_line(self, line: Line, first: Transfer | None, out: list[Message]) -> None:
        self._asked += 1
        if self._asked == 1:
            request = self.ask(first, brief(line.data), "@RSYNCD", wants_answer=False)
        elif self._asked == 2:
            request = self.ask(first, f"module {brief(line.data, 60)}", "module")
            self.waits = True
        else:
            request = self.ask(first, "authentication data", "auth")
            self.waits = True
        if line.cut:
            unfinished(request, self.cut_reason, None, 0)
        out.append(request)

    def _hand_on(self, reply: Reply, line: Line, out: list[Message], last: bool) -> None:
        self._over = last
        if self._greeted:
            self.answer(reply)
        if line.cut:
            unfinished(reply, self.cut_reason, None, 0)
        out.append(reply)
        if self.waits and self._greeted:
            self.release(out)


def _score(head: bytes) -> int:
    if _VERSION.match(head):
        return 96
    return 45 if len(head) >= 3 and b"@RSYNCD: ".startswith(head) else 20 * b"@RSYNCD: ".startswith(head)
