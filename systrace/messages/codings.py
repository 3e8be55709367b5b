"""Content codings undone (RFC 9110 8.4): gzip, deflate; br and zstd where their packages are installed."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from systrace.dataclass import dataclass
from systrace.messages.problem import Problem

CONTENT_LIMIT = 16 << 20  # bytes; a bomb ends here
_SLICE = 512  # bytes fed at once, so that damage is located to within that many


@dataclass(slots=True)
class Decoded:
    """Content with its codings undone."""

    data: bytes
    problem: Problem | None = None  # kinds: truncated, malformed, not-encoded, unsupported; offset in the coded bytes
    limited: bool = False  # more came out than is kept
    undone: tuple[str, ...] = ()  # codings in the order in which they were undone
    extra: int = 0  # bytes after the end of the compressed data


def decode_content(data: bytes, codings: tuple[str, ...], whole: bool, limit: int = CONTENT_LIMIT) -> Decoded:
    """Undo `codings` (in the order in which they were applied, last first).

    `whole` says that `data` is all that came: only then can a compressed stream that does not end be "truncated";
    else what comes out is simply all that is known.
    """
    result = Decoded(data)
    for coding in reversed(codings):
        name = coding.strip().lower()
        if name in ("", "identity"):
            continue
        undo = _CODINGS.get(name)
        if undo is None:
            result.problem = Problem("unsupported", 0, 0, 0, f"content coding {name[:40]!r} is not known")
            return result
        step = undo(result.data, limit)
        if step is None:
            result.problem = Problem("unsupported", 0, 0, 0, f"{name} needs the extra systrace[codecs]")
            return result
        result = Decoded(step.data, step.problem, step.limited, (*result.undone, name), step.extra)
        if result.problem is not None and result.problem.kind == "truncated" and not whole:
            result.problem = None
        if result.problem is not None:
            return result
        whole = whole and not result.limited
    return result


def _inflate(data: bytes, limit: int, wbits: int, name: str) -> Decoded:
    """zlib's three formats. Several gzip members in a row are one content (RFC 1952 2.2)."""
    out: list[bytes] = []
    size = 0
    machine = zlib.decompressobj(wbits)
    for start in range(0, len(data), _SLICE):
        chunk = data[start : start + _SLICE]
        while chunk:
            if machine.eof:
                if name != "gzip" or not chunk.startswith(b"\x1f"):
                    return Decoded(b"".join(out), extra=len(data) - start - _SLICE + len(chunk))
                machine = zlib.decompressobj(wbits)
            try:
                got = machine.decompress(chunk, limit - size + 1)
            except zlib.error as error:
                problem = Problem("malformed", start, 0, 0, f"damaged {name}: {_reason(error)}")
                return Decoded(b"".join(out), problem)
            out.append(got)
            size += len(got)
            if size > limit:
                return Decoded(b"".join(out)[:limit], limited=True)
            chunk = machine.unused_data if machine.eof else machine.unconsumed_tail
    if not machine.eof:
        return Decoded(b"".join(out), Problem("truncated", len(data), 0, 0, f"{name} data ends early"))
    return Decoded(b"".join(out))


def _reason(error: Exception) -> str:
    """zlib's own words without its number: "incorrect data check"."""
    return str(error).rpartition(": ")[2] or "unreadable"


def _gzip(data: bytes, limit: int) -> Decoded:
    if data and not b"\x1f\x8b".startswith(data[:2]):
        return Decoded(data, Problem("not-encoded", 0, 0, 0, "declared gzip, but the bytes are not"))
    return _inflate(data, limit, 31, "gzip")


def _deflate(data: bytes, limit: int) -> Decoded:
    """RFC 9110 8.4.1.2: zlib format; some servers send raw deflate."""
    zlibbed = len(data) >= 2 and data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
    result = _inflate(data, limit, 15 if zlibbed else -15, "deflate")
    if not zlibbed and result.problem is not None and result.problem.kind == "malformed" and not result.data:
        return Decoded(data, Problem("not-encoded", 0, 0, 0, "declared deflate, but the bytes are not"))
    return result


def _brotli(data: bytes, limit: int) -> Decoded | None:
    try:
        import brotli
    except ImportError:
        return None
    machine = brotli.Decompressor()

    def feed(chunk: bytes, most: int) -> bytes:
        try:
            return bytes(machine.process(chunk, output_buffer_limit=most))
        except TypeError:  # brotli < 1.2 has no limit
            return bytes(machine.process(chunk))

    return _streamed(data, limit, feed, lambda: bool(machine.is_finished()), "br")


def _zstd(data: bytes, limit: int) -> Decoded | None:
    if data and not b"\x28\xb5\x2f\xfd".startswith(data[:4]) and not 0x50 <= data[0] <= 0x5F:
        return Decoded(data, Problem("not-encoded", 0, 0, 0, "declared zstd, but the bytes are not"))
    try:
        from backports import zstd
    except ImportError:
        try:
            from compression import zstd  # type: ignore[import-not-found, no-redef, unused-ignore]
        except ImportError:
            return None
    machine = zstd.ZstdDecompressor()
    return _streamed(data, limit, machine.decompress, lambda: bool(machine.eof), "zstd")


def _streamed(
    data: bytes, limit: int, feed: Callable[[bytes, int], bytes], ended: Callable[[], bool], name: str
) -> Decoded:
    """brotli and zstd: slice by slice, so that a bomb and damage are met in time."""
    out: list[bytes] = []
    size = 0
    for start in range(0, len(data), _SLICE):
        if ended():
            return Decoded(b"".join(out), extra=len(data) - start)
        try:
            got = feed(data[start : start + _SLICE], limit - size + 1)
        except Exception:  # noqa: BLE001 - each package has its own error class
            problem = Problem("malformed", start, 0, 0, f"damaged {name}")
            return Decoded(b"".join(out), problem)
        out.append(got)
        size += len(got)
        if size > limit:
            return Decoded(b"".join(out)[:limit], limited=True)
    if data and not ended():
        return Decoded(b"".join(out), Problem("truncated", len(data), 0, 0, f"{name} data ends early"))
    return Decoded(b"".join(out))


_CODINGS: dict[str, Callable[[bytes, int], Decoded | None]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
