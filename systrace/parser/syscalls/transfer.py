"""Calls that move bytes: read, write, send, recv and their vector, message and file forms."""

from __future__ import annotations

import re
from collections.abc import Callable

from systrace.annotations import without_notes
from systrace.model import DescriptorsPassed, Endpoint, Event, Received, Record, Sent, Spliced
from systrace.parser.syscalls import syscall
from systrace.parser.values import endpoint_in, fd_of, flags_in, number_of, split_args, string_at, unescape

_IOV = re.compile(
    rb'(?:iov_base=)?("[^"\\]*(?:\\.[^"\\]*)*(?:"(?:\.\.\.)?|\\?\Z)|NULL|0x[0-9a-f]+)(?:, (?:iov_len=)?(\d{1,18}))?',
    re.DOTALL,
)
_MSG_LEN = re.compile(rb"msg_len=(\d{1,18})|\}, (\d{1,18})\}")
_RIGHTS = re.compile(rb"SCM_RIGHTS, (?:cmsg_data=)?[\[{]([^\]}]*)[\]}]")

_COUNT_FOLLOWS = re.compile(rb"(?:\.\.\.)?, (?:\w+=)?\d{1,12}(?:, [^\"]{0,80})?\Z").match

Pieces = list[tuple[bytes, int]]


def _one_string(record: Record) -> Pieces:
    """The string of read, write, send, recv: as many bytes as the call returned."""
    size = record.retval or 0
    args = record.args
    start = args.find(b"]>, ") + 1 if args.find(b"<UNIX", 0, 24) >= 0 else 0  # that annotation has a string of its own
    end = args.rfind(b'"')
    if end > start and _COUNT_FOLLOWS(args, end + 1) is not None:  # the usual form: no need to walk through the string
        return [(unescape(args[args.index(b'"', start) + 1 : end])[:size], size)]
    found = string_at(args, start)
    return [(found[0][:size] if found is not None else b"", size)]


def _vector(record: Record) -> Pieces:
    """readv, writev, sendmsg, recvmsg: the buffers in order; an old strace shows more than was received."""
    size = record.retval or 0
    return [_fill(record.args, size)]


def _fill(text: bytes, size: int) -> tuple[bytes, int]:
    known: list[bytes] = []
    left = size
    start = text.find(b"msg_iov")
    for match in _IOV.finditer(text, max(0, start)):
        if left <= 0:
            break
        if match[2] is None:
            continue  # no buffer: a path, a control message
        found = string_at(match[1]) if match[1][:1] == b'"' else None
        length = min(left, int(match[2]))
        data = found[0][:length] if found is not None else b""
        known.append(data)
        left -= length
        if len(data) < length:
            break  # what follows the hole would be taken for what belongs in it
    return b"".join(known), size


def _many(record: Record) -> Pieces:
    """sendmmsg, recvmmsg: one piece for each message that was moved."""
    pieces: Pieces = []
    lengths = [int(m[1] or m[2]) for m in _MSG_LEN.finditer(record.args)]
    bodies = re.split(rb"msg_iov(?:\(\d+\))?=", record.args)[1:]
    for body, length in zip(bodies, lengths, strict=False):
        pieces.append(_fill(b"msg_iov=" + body, length))
    return pieces[: record.retval or 0]


def _size(record: Record) -> int:
    retval = record.retval
    return retval if retval is not None and retval > 0 else 0


def _address(record: Record) -> Callable[[], Endpoint | None] | None:
    if b"sa_family=" not in record.args:
        return None

    def find() -> Endpoint | None:
        first = string_at(record.args) if record.syscall in ("sendto", "recvfrom") else None
        return endpoint_in(record.args, first[2] if first is not None else 0)

    return find


@syscall("read", "recv")
def received(record: Record) -> Event | None:
    """read(2), recv(2)."""
    flags = flags_in(record) if record.syscall == "recv" else b""
    return Received(record, fd_of(record.args), _size(record), flags, None, _one_string)


@syscall("write", "send")
def sent(record: Record) -> Event | None:
    """write(2), send(2)."""
    flags = flags_in(record) if record.syscall == "send" else b""
    return Sent(record, fd_of(record.args), _size(record), flags, None, _one_string)


@syscall("recvfrom")
def received_from(record: Record) -> Event | None:
    """recvfrom(2)."""
    if record.args.endswith(b", 0, NULL, NULL"):  # most are; what stands before need not be searched
        return Received(record, fd_of(record.args), _size(record), b"", None, _one_string)
    return Received(record, fd_of(record.args), _size(record), flags_in(record), _address(record), _one_string)


@syscall("sendto")
def sent_to(record: Record) -> Event | None:
    """sendto(2)."""
    if record.args.endswith(b", 0, NULL, 0"):
        return Sent(record, fd_of(record.args), _size(record), b"", None, _one_string)
    return Sent(record, fd_of(record.args), _size(record), flags_in(record), _address(record), _one_string)


@syscall("readv", "preadv2")
def received_vector(record: Record) -> Event | None:
    """readv(2)."""
    return Received(record, fd_of(record.args), _size(record), b"", None, _vector)


@syscall("writev", "pwritev2")
def sent_vector(record: Record) -> Event | None:
    """writev(2)."""
    return Sent(record, fd_of(record.args), _size(record), b"", None, _vector)


@syscall("recvmsg")
def received_message(record: Record) -> Event | None:
    """recvmsg(2), with the descriptors that came along."""
    transfer = Received(record, fd_of(record.args), _size(record), flags_in(record), _address(record), _vector)
    return _with_descriptors(transfer, sent=False)


@syscall("sendmsg")
def sent_message(record: Record) -> Event | None:
    """sendmsg(2), with the descriptors sent along."""
    transfer = Sent(record, fd_of(record.args), _size(record), flags_in(record), _address(record), _vector)
    return _with_descriptors(transfer, sent=True)


def _with_descriptors(transfer: Sent | Received, sent: bool) -> Event:
    record = transfer.record
    if b"SCM_RIGHTS" not in record.args or record.errno is not None:
        return transfer
    match = _RIGHTS.match(without_notes(record.args[record.args.rfind(b"SCM_RIGHTS") :]))
    if match is None:
        return transfer
    fds = tuple(int(n) for n in re.findall(rb"\d{1,9}", match[1]))
    return DescriptorsPassed(record, transfer.fd, fds, sent, transfer)


@syscall("recvmmsg", "recvmmsg_time64")
def received_many(record: Record) -> Event | None:
    """recvmmsg(2): returns messages, not bytes."""
    size = sum(length for _, length in _many(record)) if _size(record) else 0
    return Received(record, fd_of(record.args), size, flags_in(record), _address(record), _many)


@syscall("sendmmsg")
def sent_many(record: Record) -> Event | None:
    """sendmmsg(2): returns messages, not bytes."""
    size = sum(length for _, length in _many(record)) if _size(record) else 0
    return Sent(record, fd_of(record.args), size, flags_in(record), _address(record), _many)


@syscall("sendfile", "sendfile64", "splice", "tee", "copy_file_range")
def spliced(record: Record) -> Event | None:
    """Bytes that the program itself never saw."""
    parts = split_args(record.args)
    if len(parts) < 3:
        return None
    first = fd_of(parts[0])
    second = number_of(parts[1] if record.syscall.startswith(("sendfile", "tee")) else parts[2])
    if second is None:
        return None
    if record.syscall.startswith("sendfile"):  # out, in
        return Spliced(record, second, first, _size(record))
    return Spliced(record, first, second, _size(record))
