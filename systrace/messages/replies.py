"""What request-and-answer protocols have in common, so that one rule can serve all of them.

Every message of the decoders for databases, mail, directories, queues and caches is one of these, or a subclass.
"""

from __future__ import annotations

import re

from systrace.dataclass import dataclass
from systrace.messages.problem import printable
from systrace.model import Endpoint, Message

SUMMARY = 80  # characters of a command or query in a summary
TEXT = 500  # characters kept of what a server said

# After one of these words a literal is a secret: CREATE USER ... IDENTIFIED BY 'x', ALTER ROLE ... PASSWORD 'x'.
_SECRET = re.compile(r"(?is)(identified|passw|pwd|secret|token|credential|api_?key)\w*(?=.*['\"$])")


@dataclass(slots=True)
class Unit(Message):
    """A message whose end the protocol defines.

    `complete` is True only when all of it is proven to have come. If not, `incomplete_reason` says why: "eof",
    "reset", "closed" (by the traced side), "unfinished" (the log ends); "clipped": `-s` hid its end, nobody can tell;
    "malformed".
    """

    declared_length: int | None = None  # bytes, where the protocol declares them
    received_length: int = 0  # bytes of these that happened
    incomplete_reason: str = ""

    @property
    def truncated(self) -> bool:
        """The other side ended the connection before the message was whole."""
        return self.incomplete_reason in ("eof", "reset")

    @property
    def notable(self) -> bool:
        """Cut short or damaged: kept in preference to others."""
        return self.incomplete_reason not in ("", "clipped")


@dataclass(slots=True)
class Request(Unit):
    """What the client asked. `answered` turns True when the final answer has come."""

    verb: str = ""  # "SELECT", "EHLO", "GET", "bind": the command in the protocol's own word
    wants_answer: bool = True
    answered: bool = False
    # What is waited for by design: "events": once it is answered, the server speaks when something happens (SUBSCRIBE,
    # LISTEN); "itself": the answer is what comes when something happens (BRPOP 0).
    awaits: str = ""

    @property
    def unanswered(self) -> bool:
        """An answer is due and has not come."""
        return self.wants_answer and not self.answered


@dataclass(slots=True)
class Reply(Unit):
    """What the server answered; `request` is None when it was not asked, or the trace does not show the question."""

    code: str = ""
    text: str = ""
    request: Request | None = None


@dataclass(slots=True)
class Greeting(Reply):
    """The server's first words; `text` is its banner: product, version, host as it says them."""


@dataclass(slots=True)
class ServerError(Reply):
    """The server refuses in its own protocol: `code` and `text` are its own words, printable."""

    @property
    def notable(self) -> bool:
        """Always kept in preference to others."""
        return True


@dataclass(slots=True)
class FramingError(Unit):
    """A length or a type that cannot be, `offset` bytes from the start of this direction (or from where we joined)."""

    offset: int = 0
    sample: bytes = b""  # the bytes there, at most 32

    @property
    def notable(self) -> bool:
        """Always kept in preference to others."""
        return True


@dataclass(slots=True)
class FtpRequest(Request):
    """A command. `data` is where the server shall connect to (PORT, EPRT), else None."""

    data: Endpoint | None = None


@dataclass(slots=True)
class FtpReply(Reply):
    """A reply. `data` is where the client shall connect to (answers to PASV, EPSV), else None."""

    data: Endpoint | None = None


def brief(data: bytes | str, limit: int = SUMMARY) -> str:
    """One printable line of at most `limit` characters."""
    if isinstance(data, str):
        data = data[: limit * 2].encode("utf-8", "replace")
    text = " ".join(printable(data, limit * 2).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def statement(text: bytes) -> str:
    """A query for a summary: one line, and nothing of what follows the word "password" or its like."""
    line = text[: SUMMARY * 8].decode("utf-8", "backslashreplace")
    found = _SECRET.search(line)
    if found:
        return brief(line[: found.end()], SUMMARY - 2) + " …"
    return brief(line)


def verb(text: bytes) -> str:
    """The first word of a query, in upper case."""
    words = text[:64].split(None, 1)
    return brief(words[0].rstrip(b";(").upper(), 20) if words else ""
