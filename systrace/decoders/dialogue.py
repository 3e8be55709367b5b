"""Bases for decoders of protocols in which a client asks and a server answers.

`Dialogue` pairs answers with requests in order, and can hold the client's bytes back until the server has answered:
what follows STARTTLS or DATA depends on the answer. `LineDialogue` reads lines, `FramedDialogue` frames that begin with
their length. Both are linear in time, keep at most a sample of a large message, and count through holes.
"""

from __future__ import annotations

import abc
from collections import deque
from collections.abc import Iterable
from typing import ClassVar, TypeVar

from systrace.decoders import direction, times
from systrace.decoders.buffer import Buffer, Line, StreamDecoder, span
from systrace.messages.problem import printable
from systrace.messages.replies import TEXT, FramingError, Reply, Request, Unit, brief
from systrace.model import Message, Socket, Transfer

UNANSWERED = 1000  # requests remembered for pairing
PATIENCE = 1 << 20  # bytes of the client that are held back for an answer
M = TypeVar("M", bound=Unit)


class Dialogue(StreamDecoder):
    """Requests and replies of one connection. A subclass defines `identify`, `drain` and `cut`."""

    EVENTS: frozenset[str] = frozenset()  # verbs after whose answer the server speaks when something happens

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self.pending: deque[Request] = deque(maxlen=UNANSWERED)
        self.waits = False  # the client's next bytes cannot be read before the server has answered
        self._client_end = ""  # how the client's side ended while it waited

    def buffer(self, from_client: bool) -> Buffer:
        """That direction's bytes."""
        return self.client if from_client else self.server

    # --------------------------------------------------------------------------------------------------- for subclasses

    @abc.abstractmethod
    def drain(self, from_client: bool, out: list[Message]) -> None:
        """Take all whole units of one direction; stop when `held`."""

    @abc.abstractmethod
    def cut(self, from_client: bool, how: str, out: list[Message]) -> None:
        """That direction ended as `how` says: report what it leaves incomplete."""

    def held(self, from_client: bool) -> bool:
        """Nothing more may be read from this direction now."""
        return self.handed_over or (from_client and self.waits)

    def make(self, kind: type[M], from_client: bool, first: Transfer | None, summary: str) -> M:
        """A complete message that began in `first` and ends with the last byte taken."""
        last = self.buffer(from_client).last
        start_ns, end_ns = times(first, last)
        way = direction(self.socket, from_client)
        return kind(self.name, self.socket.uid, way, start_ns, end_ns, summary, True, span(first, last))

    def ask(self, first: Transfer | None, summary: str, verb: str, wants_answer: bool = True) -> Request:
        """A request, which waits for its answer from now on."""
        request = self.make(Request, True, first, summary)
        request.verb = verb
        request.awaits = "events" if verb in self.EVENTS else ""
        return self.expect(request, wants_answer)

    def expect(self, request: Request, wants_answer: bool = True) -> Request:
        """An answer to this request is due, after those to all before."""
        request.wants_answer = wants_answer
        if wants_answer:
            self.pending.append(request)
        return request

    def answer(self, reply: Reply, final: bool = True) -> None:
        """Pair a reply with the oldest request that waits; a `final` one settles it."""
        if not self.pending:
            return
        reply.request = request = self.pending[0]
        if final:
            self.pending.popleft()
            request.answered = True

    def hid(self, from_client: bool, out: list[Message]) -> None:
        """A hole hid an unknown number of messages of this direction: forget what was under way, claim nothing."""
        if not from_client:
            self.settle_all()
            if self.waits and not self.handed_over:
                self.release(out)

    def settle_all(self) -> None:
        """Answers came that cannot be read: nothing can be said to be unanswered."""
        for request in self.pending:
            request.answered = True
        self.pending.clear()

    def release(self, out: list[Message]) -> None:
        """The server's answer has come: go on with what the client said meanwhile."""
        self.waits = False
        if not self.handed_over:
            self.drain(True, out)
        if self._client_end and not self.held(True):
            how, self._client_end = self._client_end, ""
            self.cut(True, how, out)

    # ------------------------------------------------------------------------------------------------------- the stage

    def advance(self, from_client: bool) -> Iterable[Message]:
        """See `StreamDecoder.advance`."""
        out: list[Message] = []
        if self.waits and self.client.size > PATIENCE:
            self.settle_all()
            self.release(out)
        elif not self.held(from_client):
            self.drain(from_client, out)
        return out

    def ended(self, from_client: bool, how: str) -> Iterable[Message]:
        """See `Decoder.end`."""
        out: list[Message] = []
        if self.handed_over:
            return out
        if from_client and self.waits:
            self._client_end = how
            return out
        self.cut(from_client, how, out)
        return out


class _Raw:
    """A run of bytes between lines: `size` bytes, of which the first `keep` are looked at."""

    __slots__ = ("head", "keep", "size")

    def __init__(self, size: int, keep: int) -> None:
        self.size = size
        self.keep = min(size, keep)
        self.head: bytes | None = None


class LineDialogue(Dialogue):
    """Lines from both sides, and runs of raw bytes between them (literals, mail, values)."""

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._raw: dict[bool, _Raw | None] = {True: None, False: None}
        self.cut_reason = "clipped"  # why a `Line.cut` is cut

    @abc.abstractmethod
    def line(self, from_client: bool, line: Line, first: Transfer | None, out: list[Message]) -> None:
        """One line came; `first` is the call that carried its first byte."""

    def raw_done(self, from_client: bool, head: bytes, size: int, out: list[Message]) -> None:
        """The raw bytes that `expect_raw` announced have passed; `head` are those kept and known."""

    def expect_raw(self, from_client: bool, size: int, keep: int = 0) -> None:
        """The next `size` bytes are no lines; `raw_done` is called behind them."""
        self._raw[from_client] = _Raw(size, keep)

    def expect_nothing(self, from_client: bool) -> None:
        """Take `expect_raw` back: the announcement was not whole."""
        self._raw[from_client] = None

    def raw_passed(self, from_client: bool) -> tuple[int, int]:
        """(bytes of the raw run that came, its size); (0, 0) when none is under way."""
        raw, buffer = self._raw[from_client], self.buffer(from_client)
        if raw is None:
            return 0, 0
        return (buffer.size if raw.head is None else raw.size - buffer.owed), raw.size

    def drain(self, from_client: bool, out: list[Message]) -> None:
        """See `Dialogue.drain`."""
        buffer = self.buffer(from_client)
        while not self.held(from_client):
            raw = self._raw[from_client]
            if raw is not None:
                if raw.head is None:
                    if buffer.size < raw.keep:
                        return
                    raw.head = buffer.take(raw.keep)[0]
                    buffer.skip(raw.size - raw.keep)
                if buffer.owed:
                    return
                self._raw[from_client] = None
                self.raw_done(from_client, raw.head, raw.size, out)
                continue
            first = buffer.here
            line = buffer.line() if buffer.size else None
            if line is None:
                return
            self.line(from_client, line, first, out)
            if line.cut:
                self.hid(from_client, out)

    def cut(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `Dialogue.cut`."""
        buffer = self.buffer(from_client)
        if buffer.size and self._raw[from_client] is None:
            first, size = buffer.here, buffer.size
            data = buffer.take(size)[0]
            if from_client:
                message = self.make(Request, True, first, f"command cut after {size} bytes")
                out.append(unfinished(message, how, None, size))
            else:
                self.cut_reason = how
                self.line(False, Line(data, b"", True), first, out)
                self.cut_reason = "clipped"
        self.unfinished(from_client, how, out)

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """Report what was more than a line and is incomplete."""


class FramedDialogue(Dialogue):
    """Frames that begin with a header which tells their length."""

    header: ClassVar[int]  # bytes that tell the length
    sample: ClassVar[int] = 4096  # bytes of a frame that are looked at

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket)
        self._first: dict[bool, Transfer | None] = {True: None, False: None}
        self._size = {True: 0, False: 0}  # of the frame under way
        self._head: dict[bool, bytes | None] = {True: None, False: None}  # its sample, once that is complete
        self._lost = {True: False, False: False}
        self._seen = {True: False, False: False}  # a frame was read on that side

    @abc.abstractmethod
    def frame_size(self, from_client: bool, head: bytes) -> int:
        """Size in bytes, header included, of the frame that begins so; 0: more bytes are needed; -1: no frame does.

        `head` holds at most `header` bytes.
        """

    @abc.abstractmethod
    def frame(self, from_client: bool, data: bytes, size: int, first: Transfer | None, out: list[Message]) -> None:
        """A frame of `size` bytes has come; `data` are those known, without gaps, at most `sample`."""

    def begins(self, from_client: bool, head: bytes) -> bool:
        """After a loss: does a call that starts with `head` (at most 64 bytes) begin a frame, almost surely?"""
        return self.frame_size(from_client, head[: self.header]) > 0

    def opaque(self, from_client: bool) -> bool:
        """What this side says cannot be read from here on."""
        return False

    def frame_name(self, from_client: bool, head: bytes) -> str:
        """What a frame that begins so is called, in front of "N of M bytes"."""
        return "request" if from_client else "answer"

    def drain(self, from_client: bool, out: list[Message]) -> None:
        """See `Dialogue.drain`."""
        buffer = self.buffer(from_client)
        while not self.held(from_client):
            if self._size[from_client]:
                if not self._collected(from_client, buffer):
                    return
                data, size = self._head[from_client] or b"", self._size[from_client]
                self._head[from_client], self._size[from_client] = None, 0
                self.frame(from_client, data, size, self._first[from_client], out)
            elif self.opaque(from_client):
                buffer.skip(buffer.size)
                return
            elif not buffer.size or not self._begin(from_client, buffer, out):
                return

    def _collected(self, from_client: bool, buffer: Buffer) -> bool:
        """Gather the sample of the frame under way and pass over its rest; True when all of it has come."""
        if self._head[from_client] is None:
            want = min(self._size[from_client], self.sample)
            if buffer.size < want:
                return False
            self._head[from_client] = buffer.take(want)[0]
            buffer.skip(self._size[from_client] - want)
        return not buffer.owed

    def _begin(self, from_client: bool, buffer: Buffer, out: list[Message]) -> bool:
        """Read a frame's header. False: wait for more bytes."""
        if self._lost[from_client]:
            head = buffer.peek(64)
            if not head or not self.begins(from_client, head):
                buffer.skip_call()
                return True
            self._lost[from_client] = False
        self._first[from_client] = buffer.here
        size = self.frame_size(from_client, buffer.peek(self.header))
        if size > 0:
            self._seen[from_client] = True
            if size <= self.sample and size <= buffer.known:  # the usual case
                self.frame(from_client, buffer.take(size)[0], size, self._first[from_client], out)
            else:
                self._size[from_client] = size
            return True
        if size == 0 and not buffer.stuck:
            return False
        self._lose(from_client, buffer, out, impossible=size < 0)
        return True

    def _lose(self, from_client: bool, buffer: Buffer, out: list[Message], impossible: bool) -> None:
        """Where the next frame begins cannot be told: go on with the next call that begins one.

        What cannot begin a frame is reported once, but not of a stream that was joined in its middle.
        """
        sample, offset, first = buffer.peek(min(32, buffer.call_rest())), buffer.taken, buffer.here
        buffer.skip_call()
        self._lost[from_client] = True
        self.hid(from_client, out)
        if impossible and self._seen[from_client]:
            text = f"no message begins at byte {offset}: {printable(sample, 40)}"
            message = unfinished(self.make(FramingError, from_client, first, text), "malformed", None, 0)
            message.offset, message.sample = offset, sample
            out.append(message)

    def cut(self, from_client: bool, how: str, out: list[Message]) -> None:
        """See `Dialogue.cut`."""
        buffer = self.buffer(from_client)
        kind: type[Unit] = Request if from_client else Reply
        size, head = self._size[from_client], self._head[from_client]
        first, started = self._first[from_client], bool(buffer.size)
        if size:
            got = buffer.size if head is None else size - buffer.owed
            head = buffer.peek(self.header) if head is None else head
            buffer.take(buffer.size)
            text = f"{self.frame_name(from_client, head)}: {got} of {size} bytes"
            out.append(unfinished(self.make(kind, from_client, first, text), how, size, got))
            self._size[from_client] = 0
        elif started and not self._lost[from_client] and not self.opaque(from_client):
            got, first = buffer.size, buffer.here
            buffer.take(got)
            text = f"header cut: {got} of {self.header} bytes"
            out.append(unfinished(self.make(kind, from_client, first, text), how, self.header, got))
        self.unfinished(from_client, how, out)

    def unfinished(self, from_client: bool, how: str, out: list[Message]) -> None:
        """Report what was more than a frame and is incomplete."""


def unfinished(message: M, how: str, declared: int | None, received: int) -> M:
    """Mark a message as incomplete."""
    message.complete = False
    message.incomplete_reason = how
    message.declared_length, message.received_length = declared, received
    return message


def words(data: bytes) -> str:
    """What a server said, printable, at most `TEXT` characters."""
    return brief(data, TEXT)


def both(client: int | None, server: int | None, together: int = 0) -> int:
    """`Decoder.identify` from each side's own score (None: it has not spoken): 0 when one of them cannot be.

    `together` is the score when both sides by themselves are likely (45 and more each).
    """
    scores = [score for score in (client, server) if score is not None]
    if not scores or not all(scores):
        return 0
    return max(*scores, together if min(scores) >= 45 and len(scores) == 2 else 0, 0)
