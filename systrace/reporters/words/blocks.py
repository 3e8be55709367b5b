"""A transcript in blocks: what went in one direction until the other side spoke."""

from __future__ import annotations

from dataclasses import field

from systrace.dataclass import dataclass
from systrace.masking.fields import Spans
from systrace.masking.masks import Masks
from systrace.model import Received, Sent, Socket, Transcript, Transfer

SILENCE_NS = 1_000_000_000  # a second without a byte gets a line of its own


@dataclass(slots=True)
class Part:
    """Known bytes, `data[start:end]` of their direction, and how many unknown ones follow."""

    start: int
    end: int
    missing: int
    time_ns: int | None
    kept: bool = True  # False: the log has them, the transcript was too long


@dataclass(slots=True)
class Block:
    """Consecutive calls in one direction."""

    sent: bool
    offset: int  # of its first byte in its direction
    start_ns: int | None
    end_ns: int | None
    first: Transfer | None
    calls: int = 0
    size: int = 0
    known: int = 0
    parts: list[Part] = field(default_factory=list)
    lines: set[tuple[int, int]] = field(default_factory=set)  # its calls: (file, line)


@dataclass(slots=True)
class Flow:
    """The blocks of a conversation; `data` and `secrets` are (received, sent)."""

    blocks: list[Block]
    data: tuple[bytes, bytes]
    secrets: tuple[Spans, Spans]
    masks: Masks

    def masked(self, sent: bool, start: int, end: int) -> bytes:
        """A part of one direction; a secret that goes on beyond it is masked as far as it stands here."""
        return self.masks.part(self.data[sent], self.secrets[sent], start, end)


def flow(transcript: Transcript, masks: Masks) -> Flow:
    """The calls as blocks, secrets found across calls."""
    socket = transcript.socket
    shown = _direction(transcript) if socket is not None and socket.kind == "pipe" else None
    blocks: list[Block] = []
    data = (bytearray(), bytearray())
    offsets = [0, 0]
    each_apart = socket is not None and socket.type == "dgram"
    for at, event in enumerate(transcript.moves):
        if at == transcript.left_at:
            _leave_out(transcript, blocks, data, offsets, shown)
        sent = isinstance(event, Sent)
        if shown is not None and sent != shown:
            continue
        start, end = _times(event)
        if not blocks or blocks[-1].sent != sent or each_apart:
            blocks.append(Block(sent, offsets[sent], start, end, event))
        block = blocks[-1]
        block.first = block.first or event
        block.end_ns = end
        block.calls += 1
        block.lines.add((event.record.source, event.record.lineno))
        for known, missing in _parts(event):
            _add(block, data[sent], known, missing, start)
        offsets[sent] += event.size
    both = bytes(data[0]), bytes(data[1])
    for each in both:
        masks.learn(each)
    return Flow(blocks, both, (masks.spans(both[0]), masks.spans(both[1])), masks)


def _direction(transcript: Transcript) -> bool:
    """Of a pipe: True for what was written, where the log shows less of what was read."""
    socket: Socket | None = transcript.socket
    return socket is not None and socket.sent.original_len > socket.received.original_len


def _leave_out(
    transcript: Transcript,
    blocks: list[Block],
    data: tuple[bytearray, bytearray],
    offsets: list[int],
    shown: bool | None,
) -> None:
    for sent in (True, False):
        size = transcript.left_out[sent]
        if size and shown in (None, sent):
            if not blocks or blocks[-1].sent != sent:
                blocks.append(Block(sent, offsets[sent], None, None, None))
            _add(blocks[-1], data[sent], b"", size, None)
            blocks[-1].parts[-1].kept = False
            offsets[sent] += size


def _add(block: Block, data: bytearray, known: bytes, missing: int, time_ns: int | None) -> None:
    block.parts.append(Part(len(data), len(data) + len(known), missing, time_ns))
    data += known
    block.size += len(known) + missing
    block.known += len(known)


def _times(event: Transfer) -> tuple[int | None, int | None]:
    """What is sent starts when the call begins; what is received, when it returns."""
    record = event.record
    end = record.end_ns if record.end_ns is not None else record.time_ns
    return (end if isinstance(event, Received) else record.time_ns), end


def _parts(event: Transfer) -> list[tuple[bytes, int]]:
    """A call's strings as (known, missing), fitted to the bytes that it really moved."""
    payload = event.payload()
    parts: list[tuple[bytes, int]] = []
    left = event.size
    for at, (known, length) in enumerate(payload):
        length = left if at == len(payload) - 1 else min(max(length, len(known)), left)
        known = known[:length]
        if length:
            parts.append((known, length - len(known)))
        left -= length
    return parts if parts or not left else [(b"", left)]
