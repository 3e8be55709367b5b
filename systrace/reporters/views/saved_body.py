"""The exact bytes that a parser was given: `systrace follow --save-body`."""

from __future__ import annotations

from typing import BinaryIO

from systrace.dataclass import dataclass
from systrace.errors import UsageError
from systrace.masking.masks import Masks
from systrace.messages.body import Body
from systrace.messages.http import HttpMessage, HttpResponse
from systrace.model import Transcript
from systrace.reporters.views.follow import http_messages
from systrace.reporters.words.blocks import Block, Flow, flow


@dataclass(frozen=True, slots=True)
class SavedBody:
    """What is to be written: [(known bytes, unknown ones that follow)], and what it is."""

    parts: list[tuple[bytes, int]]
    what: str
    lost: bool = False  # the framing of what follows is not known: it is not in `parts`

    @property
    def size(self) -> int:
        """Bytes that happened."""
        return sum(len(known) + missing for known, missing in self.parts)

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Where bytes are missing: (offset, length)."""
        gaps, offset = [], 0
        for known, missing in self.parts:
            offset += len(known)
            if missing:
                gaps.append((offset, missing))
            offset += missing
        return gaps

    def write(self, out: BinaryIO) -> None:
        """Write the bytes; a hole stays a hole of the file, and reads as zeros, so that offsets stay right.

        Raises:
            UsageError: there are holes, and `out` is no regular file.
        """
        if self.gaps and not out.seekable():
            raise UsageError("the log does not hold all bytes, and only a regular file can have gaps: name one")
        for known, missing in self.parts:
            out.write(known)
            if missing:
                out.seek(missing, 1)
        if self.gaps:
            out.truncate(self.size)

    def summary(self) -> str:
        """For people: what it is and what it lacks."""
        text = f"{self.what}, {self.size} bytes as they were, secrets included"
        if self.lost:
            text = (
                f"{self.what}, ONLY ITS FIRST {self.size} bytes, secrets included: the rest cannot be put together, nor "
                "its size be told, for strace -s cut the framing there; record again with -s 65536"
            )
        gaps = self.gaps
        if not gaps:
            return text
        missing = sum(length for _, length in gaps)
        where = ", ".join(f"{offset}-{offset + length - 1}" for offset, length in gaps[:4])
        more = f" and {len(gaps) - 4} more holes" if len(gaps) > 4 else ""
        return f"{text}; {missing} of them are not known (strace -s): zeros stand in their place, at {where}{more}"


def saved_body(transcript: Transcript, number: int | None = None) -> SavedBody:
    """The body of a message, by its number in the text; without one, that of the last answer.

    Chunk framing is taken off. Content codings are undone where the request offered them, for then the client undid
    them, too, before its parser saw anything. Where no message is known it is the bytes of a block.

    Raises:
        UsageError: there is no such message, or it has no body.
    """
    messages = http_messages(transcript)
    if messages:
        return _of_message(messages, number)
    whole = flow(transcript, Masks(shown=True))
    if number is None and any(message.protocol in ("http", "http2") for message in transcript.messages):
        raise UsageError(
            "the log does not tell where the last answer's body begins (strace -s cut its head): record it again with "
            "-s 65536, or save a block of calls by its number: --message N"
        )
    return _of_blocks(whole, number)


def _of_message(messages: list[HttpMessage], number: int | None) -> SavedBody:
    if number is None:
        answers = [at for at, m in enumerate(messages, 1) if isinstance(m, HttpResponse) and _has_body(m)]
        if not answers:
            raise UsageError("no answer on this socket has a body")
        number = answers[-1]
    if not 1 <= number <= len(messages):
        raise UsageError(f"there is no message #{number}: this conversation has {len(messages)}")
    message = messages[number - 1]
    body = message.body
    if body is None or not body.received:
        raise UsageError(f"message #{number} has no body")
    answer = message if isinstance(message, HttpResponse) else None
    what = f"body of #{number}, the answer {answer.status}" if answer is not None else f"body of #{number}"
    if body.lost_at is None:
        return _whole(body, answer, what)
    if not body.placed:
        raise UsageError(
            f"{what} cannot be put together: strace -s cut the framing at its beginning; record again with -s 65536"
        )
    still = f", still {', '.join(body.encodings)}" if body.encodings else ""
    return SavedBody(body.placed, what + still, lost=True)


def _whole(body: Body, answer: HttpResponse | None, what: str) -> SavedBody:
    """A body of which every byte has its place: its codings are undone where its client would do that too."""
    if not body.encodings:
        return SavedBody(body.parts, what)
    content = body.decoded()
    codings = ", ".join(body.encodings)
    if not _client_undoes(answer, body.encodings):
        return SavedBody(body.parts, f"{what}, still {codings}: its request did not ask for that")
    if body.whole and content.problem is None and not content.limited:
        return SavedBody([(content.data, 0)], f"{what}, {codings} undone")
    return SavedBody(body.parts, f"{what}, still {codings}: it cannot be undone")


def _has_body(message: HttpMessage) -> bool:
    return message.body is not None and message.body.received > 0


def _client_undoes(answer: HttpResponse | None, codings: tuple[str, ...]) -> bool:
    """Whoever offers a coding undoes it (RFC 9110 12.5.3); a request that is not known is taken to have offered."""
    if answer is None or answer.request is None:
        return True
    offered = (answer.request.header("accept-encoding") or "").lower()
    return all(coding.removeprefix("x-") in offered for coding in codings)


def _of_blocks(whole: Flow, number: int | None) -> SavedBody:
    blocks = whole.blocks
    if number is None:
        received = [at for at, block in enumerate(blocks, 1) if not block.sent] or [len(blocks)]
        number = received[-1]
    if not blocks or not 1 <= number <= len(blocks):
        raise UsageError(f"there is no block #{number}: this conversation has {len(blocks)}")
    block = blocks[number - 1]
    return SavedBody(_bytes(whole, block), f"block #{number}, {'sent' if block.sent else 'received'}")


def _bytes(whole: Flow, block: Block) -> list[tuple[bytes, int]]:
    data = whole.data[block.sent]
    return [(data[part.start : part.end], part.missing) for part in block.parts]
