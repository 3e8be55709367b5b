"""One conversation, both directions, as text or as a hexdump: `systrace follow`.

Lines that begin with `>` were sent by the traced side, those with `<` were received; `#N` begins the message (or, where
no decoder knows the framing, the block of calls) of that number; `---` tells what is not in the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from systrace.errors import UsageError
from systrace.masking.masks import Masks
from systrace.messages.body import Body
from systrace.messages.http import HttpMessage, HttpRequest, HttpResponse
from systrace.messages.tls import TlsHello
from systrace.model import Analysis, Message, Sent, Socket, Transcript
from systrace.reporters.layout import Layout
from systrace.reporters.words.blocks import Block, Flow, flow
from systrace.reporters.words.endings import ending, errno_words
from systrace.reporters.words.hexdump import hex_rows, hole, silence
from systrace.words import duration, encoded, safe, size, wrap

_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"
_SAMPLE = 64 << 10  # bytes that tell text from the rest
Piece = bytes | str  # bytes that went over, or what is to be said in between


def follow(
    analysis: Analysis,
    transcript: Transcript,
    out: BinaryIO,
    *,
    hexdump: bool = False,
    layout: Layout | None = None,
) -> None:
    """Write a conversation.

    Raises:
        UsageError: nothing went over a socket of that name.
    """
    layout = layout or Layout.of(out)
    socket = watched(analysis, transcript)
    masks = analysis.evidence.masks
    whole = flow(transcript, masks)
    for line in [*_heading(analysis, transcript, socket, layout), ""]:
        _write(out, line)
    items = [] if hexdump else http_messages(transcript)
    first = analysis.evidence.source.first_ns or 0
    lines = _as_messages(items, first, masks) if items else _as_blocks(whole, transcript, first, hexdump)
    for line in lines:
        _write(out, _painted(line, layout))
    for line in _endings(socket, first):
        _write(out, _painted(line, layout))


def watched(analysis: Analysis, transcript: Transcript) -> Socket:
    """The socket or pipe of a transcript.

    Raises:
        UsageError: there is none, or nothing went over it; the message names those that there are.
    """
    if transcript.socket is not None:
        return transcript.socket
    uid = transcript.uid
    if uid in analysis.evidence.sockets and analysis.evidence.sockets[uid].kind == "socket":
        raise UsageError(f"nothing went over {uid} ({safe(ending(analysis.evidence.sockets[uid]))})")
    moved = sorted(transcript.seen.values(), key=lambda s: -s.sent.original_len - s.received.original_len)
    names = [f"{s.uid} ({_peer(s)}, {_counts(s)})" for s in moved[:10]]
    listed = ", ".join(names) + (f" and {len(moved) - 10} more" if len(moved) > 10 else "")
    lead = f"there is no socket {safe(uid, 40)}" if uid else "name a conversation by --socket"
    raise UsageError(f"{lead}: this log has {listed or 'none over which anything went'}")


def http_messages(transcript: Transcript) -> list[HttpMessage]:
    """The messages, if all that went over was HTTP whose framing is known, decrypted TLS included; else nothing."""
    messages: list[HttpMessage] = []
    sealed = False  # a TLS hello, and nothing legible since
    for message in transcript.messages:
        if not isinstance(message, HttpRequest | HttpResponse):
            sealed = sealed or isinstance(message, TlsHello)
            if message.protocol not in ("tls", "grpc", "http2"):
                return []
            continue
        if message.head_cut or message.framing == "unknown":
            return []
        sealed = False
        messages.append(message)
    return [] if sealed or transcript.left_at is not None else messages


# ------------------------------------------------------------------------------------------------------------- headings


def _peer(socket: Socket) -> str:
    if socket.kind == "pipe":
        return "pipe"
    return safe(str(socket.peer or socket.local or socket.family))


def _counts(socket: Socket) -> str:
    if socket.kind == "pipe":
        return f"{size(socket.sent.original_len)} written, {size(socket.received.original_len)} read"
    return f"{size(socket.sent.original_len)} out, {size(socket.received.original_len)} in"


def _heading(analysis: Analysis, transcript: Transcript, socket: Socket, layout: Layout) -> list[str]:
    evidence = analysis.evidence

    def names(sent: bool) -> str:
        users: dict[str, None] = {}
        for event in transcript.moves:
            if isinstance(event, Sent) == sent:
                pid = evidence.owners.get(event.record.tid)
                process = evidence.processes.get(pid) if pid is not None else None
                users[f"{process.command if process is not None else ''}[{pid or event.record.tid}]"] = None
        return ", ".join(list(users)[:4])

    if socket.kind == "pipe":
        ends = f"{names(True) or 'somebody outside the log'} -> {names(False) or 'somebody outside the log'}"
        text = f"{socket.uid}: pipe, {ends}; {_counts(socket)}."
    else:
        local = f"{socket.local} -> " if socket.local is not None else ""
        name = f" ({socket.name})" if socket.name else ""
        user = ", ".join(dict.fromkeys(n for n in (names(True), names(False)) if n))
        text = f"{socket.uid}: {socket.family} {socket.type}, {local}{socket.peer or 'no peer known'}{name}; used by "
        text += f"{user}; {_counts(socket)}; {socket.app_protocol or 'no protocol recognised'}; {ending(socket)}."
    lines = wrap(text, layout.width, rest="    ")
    return [layout.paint(line, "bold") for line in lines]


def _endings(socket: Socket, first: int) -> Iterator[str]:
    """Ends and errors, with their times."""
    for fault in socket.faults:
        record = fault.event.record
        what = "end of data: the peer closed its side" if fault.kind == "eof" else errno_words(fault.errno)
        yield f"--- {_at(record.end_ns or record.time_ns, first)}{what} (line {record.lineno})"
    if socket.closed_by:
        yield f"--- {_at(socket.closed_ns, first)}closed ({socket.closed_by})"


def _at(time_ns: int | None, first: int) -> str:
    return "" if time_ns is None else f"{(time_ns - first) / 1e9:.6f} s  "


# ------------------------------------------------------------------------------------------------------------- messages


def _as_messages(messages: list[HttpMessage], first: int, masks: Masks) -> Iterator[str]:
    numbers: dict[int, int] = {}
    before: int | None = None
    for number, message in enumerate(messages, 1):
        numbers[id(message)] = number
        yield from silence(before, message.start_ns)
        before = message.end_ns
        sign = ">" if message.direction == "sent" else "<"
        lines = sorted({event.record.lineno for event in message.events})
        where = f", line{'s' if len(lines) > 1 else ''} {'-'.join(map(str, lines))}" if lines else ""
        yield f"#{number} {sign} {_at(message.start_ns, first)}{_title(message, numbers)}{where}"
        head = message.head.rstrip(b"\r\n")
        yield from _lines(sign, [masks.data(head)])
        if message.body is not None and message.body.received:
            yield sign
            yield from _lines(sign, _body(message, message.body, masks))
        yield from _cut_short(message)
        yield ""


def _title(message: HttpMessage, numbers: dict[int, int]) -> str:
    if not isinstance(message, HttpResponse):
        what = "request"
    elif message.interim:
        what = "interim answer"
    else:
        number = numbers.get(id(message.request))
        what = f"answer to #{number}" if number else "answer"
    words = [f"{message.protocol} {what}"]
    body = message.body
    if body is not None:
        words += [safe(word, 60) for word in (message.content_type, *body.encodings) if word]
        words += ["chunked"] if message.framing == "chunked" else []
        known = sum(len(data) for data, _ in body.placed)
        part = "" if known == body.received else f", of which {known} are known"
        words.append(f"body of {body.size}{part}")
    if message.start_ns is not None and message.end_ns is not None and message.end_ns - message.start_ns >= 1_000_000:
        words.append(f"in {duration(message.end_ns - message.start_ns)}")
    return ", ".join(words)


def _cut_short(message: HttpMessage) -> Iterator[str]:
    reasons = {
        "eof": "the connection ended before the message was whole",
        "reset": "the connection was reset before the message was whole",
        "closed": "the traced side closed before the message was whole",
        "unfinished": "the log ends before the message was whole",
        "malformed": "the framing is damaged",
    }
    if message.incomplete_reason in reasons:
        detail = f": {safe(message.detail)}" if message.detail else ""
        yield f"--- {reasons[message.incomplete_reason]}{detail}"


def _body(message: HttpMessage, body: Body, masks: Masks) -> list[Piece]:
    """The content as text, as far as it is known and is text."""
    raw = _decoded(body) if body.encodings else _placed(body)
    pieces = [_recoded(piece, message.charset) if isinstance(piece, bytes) else piece for piece in raw]
    known = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    if not is_text(known):
        return [f"{len(known)} bytes, no text: --hex shows them, --save-body saves them"]
    return mask_pieces(pieces, masks)


def _decoded(body: Body) -> Iterator[Piece]:
    """The content with its codings undone as far as they can be, and why no further."""
    content, codings = body.decoded(), ", ".join(body.encodings)
    if content.data:
        yield content.data
    if content.problem is not None:
        yield f"the {codings} cannot be undone: {safe(content.problem.message)}"
    elif not body.whole:
        yield f"{codings} cannot be undone any further: {_unknown(body)}"
    elif content.limited:
        yield "more than is shown comes out"


def _placed(body: Body) -> Iterator[Piece]:
    """The known bytes, with what is missing between and behind them."""
    for known, missing in body.placed:
        if known:
            yield known
        if missing:
            yield hole(missing)
    if body.lost_at is not None:
        yield _unknown(body)


def _unknown(body: Body) -> str:
    if body.lost_at is not None:
        return f"what follows the first {body.lost_at} bytes is not known: strace -s cut its framing"
    missing = sum(missing for _, missing in body.parts)
    return f"{missing} of {body.received} bytes are not in the log"


def _recoded(data: bytes, charset: str | None) -> bytes:
    """In UTF-8, where another character set is declared and known."""
    if not charset or charset in ("utf-8", "utf8", "us-ascii", "ascii"):
        return data
    try:
        return data.decode(charset, "backslashreplace").encode("utf-8", "backslashreplace")
    except (LookupError, ValueError):
        return data


def mask_pieces(pieces: list[Piece], masks: Masks) -> list[Piece]:
    """Secrets masked, those that a hole cuts in two as well."""
    data = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    spans = masks.spans(data)
    out: list[Piece] = []
    at = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            out.append(masks.part(data, spans, at, at + len(piece)))
            at += len(piece)
        else:
            out.append(piece)
    return out


# --------------------------------------------------------------------------------------------------------------- blocks


def _as_blocks(whole: Flow, transcript: Transcript, first: int, hexdump: bool) -> Iterator[str]:
    starts: dict[tuple[int, int], list[Message]] = {}
    for message in transcript.messages:
        if message.events:
            record = message.events[0].record
            starts.setdefault((record.source, record.lineno), []).append(message)
    before: int | None = None
    for number, block in enumerate(whole.blocks, 1):
        sign = ">" if block.sent else "<"
        yield from silence(before, block.start_ns)
        before = block.end_ns
        yield f"#{number} {sign} {_at(block.start_ns, first)}{_block_title(block)}"
        direction = "sent" if block.sent else "received"
        messages = [m for key in sorted(block.lines & starts.keys()) for m in starts[key] if m.direction == direction]
        for message in messages:
            yield f"--- {safe(message.protocol)}: {safe(whole.masks.text(message.summary))}"
        if hexdump:
            yield from hex_rows(sign, whole, block)
        else:
            yield from _lines(sign, _block_text(whole, block))
        yield ""


def _block_title(block: Block) -> str:
    verb = "sent" if block.sent else "received"
    known = "" if block.known == block.size else f", of which {block.known} are known"
    line = f", line {block.first.record.lineno}" if block.first is not None else ""
    return f"{verb} {block.size} bytes{known} in {block.calls} call{'' if block.calls == 1 else 's'}{line}"


def _block_text(whole: Flow, block: Block) -> list[Piece]:
    data = whole.data[block.sent]
    pieces: list[Piece] = []
    before: int | None = None
    dull = 0  # bytes that are no text, not told yet

    def tell() -> None:
        nonlocal dull
        if dull:
            pieces.append(f"{dull} bytes, no text: --hex shows them")
        dull = 0

    for part in block.parts:
        quiet = silence(before, part.time_ns)
        before = part.time_ns
        known = data[part.start : part.end]
        text = is_text(known)
        if quiet or text:
            tell()
        pieces += [line.removeprefix("--- ") for line in quiet]
        if not text:
            dull += len(known)
        elif known:
            pieces.append(whole.masked(block.sent, part.start, part.end))
        if part.missing:
            tell()
            pieces.append(hole(part.missing, part.kept))
    tell()
    return pieces


def is_text(data: bytes) -> bool:
    """Hardly a control character in it, and mostly UTF-8."""
    sample = data[:_SAMPLE]
    if not sample:
        return True
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if controls * 20 > len(sample):
        return False
    if sample.isascii():
        return True
    return sample.decode("utf-8", "replace").count("\ufffd") * 4 <= len(sample)


def _lines(sign: str, pieces: list[Piece]) -> Iterator[str]:
    """Each line behind its direction; a piece that is cut within a line goes on in the next one."""
    run: list[bytes] = []
    for piece in [*pieces, None]:
        if isinstance(piece, bytes):
            run.append(piece)
            continue
        if run:
            text = b"".join(run).removesuffix(b"\n")
            run.clear()
            for line in text.split(b"\n"):
                yield f"{sign} {_line(line)}".rstrip(" ")
        if piece is not None:
            yield f"--- {piece}"


def _line(line: bytes) -> str:
    text = line.removesuffix(b"\r")
    if b"\t" in text:
        text = text.replace(b"\t", b"    ")
    return safe(text)


def _painted(line: str, layout: Layout) -> str:
    colour = {"#": "bold", "-": "yellow"}.get(line[:1]) if layout.colour else None
    return layout.paint(line, colour) if colour else line


def _write(out: BinaryIO, line: str) -> None:
    out.write(encoded(f"{line}\n"))
