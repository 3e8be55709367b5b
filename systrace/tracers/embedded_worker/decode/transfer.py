"""Calls that move bytes through a descriptor: read(2), write(2), send(2), recv(2), vectors, sendfile(2), splice(2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from systrace.tracers.embedded_worker import memory
from systrace.tracers.embedded_worker.decode import DECODERS, address, descriptor, integer, plain, size
from systrace.tracers.embedded_worker.decode.structures import INT, iovec, sockaddr, text
from systrace.tracers.embedded_worker.text import flags, pointer, signed
from systrace.tracers.embedded_worker.tracee import Args, Decoder, Tracee

MESSAGE_FLAGS = (
    (0x1, "MSG_OOB"), (0x2, "MSG_PEEK"), (0x4, "MSG_DONTROUTE"), (0x8, "MSG_CTRUNC"), (0x10, "MSG_PROBE"),
    (0x20, "MSG_TRUNC"), (0x40, "MSG_DONTWAIT"), (0x80, "MSG_EOR"), (0x100, "MSG_WAITALL"), (0x200, "MSG_FIN"),
    (0x400, "MSG_SYN"), (0x800, "MSG_CONFIRM"), (0x1000, "MSG_RST"), (0x2000, "MSG_ERRQUEUE"),
    (0x4000, "MSG_NOSIGNAL"), (0x8000, "MSG_MORE"), (0x10000, "MSG_WAITFORONE"), (0x20000000, "MSG_FASTOPEN"),
    (0x40000000, "MSG_CMSG_CLOEXEC"),
)  # fmt: skip


def message_flags(_tracee: Tracee, value: int) -> str:
    """MSG_*."""
    return _message_flags(value & 0xFFFFFFFF) if value else "0"


@lru_cache(1024)
def _message_flags(value: int) -> str:
    return flags(value, MESSAGE_FLAGS, "MSG_???")


def _first(tracee: Tracee, args: Args) -> str:
    return descriptor(tracee, args[0]) + ", "


def _reads_file(tracee: Tracee, args: Args) -> bool:
    return not tracee.files.is_stream(tracee.tid, signed(args[0]))


def _writes_file(tracee: Tracee, args: Args) -> bool:
    fd = signed(args[0])
    return not tracee.files.is_stream(tracee.tid, fd) and not tracee.files.is_log(tracee.tid, fd)


def _offset(tracee: Tracee, args: Args) -> str:
    if tracee.abi.name == "arm":  # its 64-bit values stand in an even register and the next
        return f", {args[4] | args[5] << 32}"
    if tracee.abi.word == 4:
        return f", {args[3] | args[4] << 32}"
    return f", {args[3]}"


def _nothing(_tracee: Tracee, _args: Args) -> str:
    return ""


def _reader(tail: Callable[[Tracee, Args], str]) -> Callable[[Tracee, Args, int], str]:
    def leave(tracee: Tracee, args: Args, value: int) -> str:
        data = text(tracee, args[1], value) if value >= 0 else pointer(args[1])
        return f"{data}, {size(tracee, args[2])}{tail(tracee, args)}"

    return leave


def _writer(tail: Callable[[Tracee, Args], str]) -> Callable[[Tracee, Args], str]:
    def enter(tracee: Tracee, args: Args) -> str:
        count = args[2] & 0xFFFFFFFF if tracee.abi.word == 4 else args[2]
        return f"{descriptor(tracee, args[0])}, {text(tracee, args[1], count)}, {count}{tail(tracee, args)}"

    return enter


def _vector_reader(tail: Callable[[Tracee, Args], str]) -> Callable[[Tracee, Args, int], str]:
    def leave(tracee: Tracee, args: Args, value: int) -> str:
        vector = iovec(tracee, args[1], args[2], value) if value >= 0 else pointer(args[1])
        return f"{vector}, {size(tracee, args[2])}{tail(tracee, args)}"

    return leave


def _vector_writer(tail: Callable[[Tracee, Args], str]) -> Callable[[Tracee, Args], str]:
    def enter(tracee: Tracee, args: Args) -> str:
        return f"{_first(tracee, args)}{iovec(tracee, args[1], args[2])}, {args[2]}{tail(tracee, args)}"

    return enter


def _positioned(tracee: Tracee, args: Args) -> str:
    return f", {args[3]}"


def _positioned_flags(tracee: Tracee, args: Args) -> str:
    return f", {args[3]}, {args[5] and hex(args[5])}"


for _name, _tail in (("read", _nothing), ("pread64", _offset)):
    DECODERS.add(_name, Decoder(_first, _reader(_tail), skip=_reads_file, blind=True))
for _name, _tail in (("write", _nothing), ("pwrite64", _offset)):
    DECODERS.add(_name, Decoder(_writer(_tail), skip=_writes_file))
for _name, _tail in (("readv", _nothing), ("preadv", _positioned), ("preadv2", _positioned_flags)):
    DECODERS.add(_name, Decoder(_first, _vector_reader(_tail), skip=_reads_file))
for _name, _tail in (("writev", _nothing), ("pwritev", _positioned), ("pwritev2", _positioned_flags)):
    DECODERS.add(_name, Decoder(_vector_writer(_tail), skip=_writes_file))


def _send_flags(tracee: Tracee, args: Args) -> str:
    return f", {message_flags(tracee, args[3])}"


def _sendto_tail(tracee: Tracee, args: Args) -> str:
    flag_text = message_flags(tracee, args[3])
    if not args[4]:
        return f", {flag_text}, NULL, {signed(args[5])}"
    return f", {flag_text}, {sockaddr(tracee, args[4], signed(args[5]))}, {signed(args[5])}"


def enter_with_length(tracee: Tracee, args: Args, at: int) -> None:
    """Keep the socklen_t at `at` for `name_and_length`: the kernel overwrites it."""
    before = memory.unpack(tracee.tid, at, INT)
    tracee.stash = before[0] if before else 0


def name_and_length(tracee: Tracee, name: int, length: int, value: int) -> str:
    """`{sa_family=...}, [128 => 16]` after a call that filled them in; pointers when it failed."""
    after = memory.unpack(tracee.tid, length, INT)
    if after is None:
        return f"{pointer(name)}, {pointer(length)}"
    size_text = str(after[0]) if after[0] == tracee.stash else f"{tracee.stash} => {after[0]}"
    if value < 0 or not name:
        return f"{pointer(name)}, [{tracee.stash if value < 0 else size_text}]"
    return f"{sockaddr(tracee, name, min(after[0], tracee.stash))}, [{size_text}]"


def _recvfrom_enter(tracee: Tracee, args: Args) -> str:
    if args[5]:
        enter_with_length(tracee, args, args[5])
    return _first(tracee, args)


def _recvfrom_leave(tracee: Tracee, args: Args, value: int) -> str:
    data = text(tracee, args[1], min(value, args[2])) if value >= 0 else pointer(args[1])
    tail = "NULL, NULL" if not args[4] and not args[5] else name_and_length(tracee, args[4], args[5], value)
    return f"{data}, {size(tracee, args[2])}, {message_flags(tracee, args[3])}, {tail}"


DECODERS.add("sendto", Decoder(_writer(_sendto_tail)))
DECODERS.add("recvfrom", Decoder(_recvfrom_enter, _recvfrom_leave))
DECODERS.add("send", Decoder(_writer(_send_flags)))  # sub-call of i386's socketcall(2)
DECODERS.add("recv", Decoder(_first, _reader(_send_flags), blind=True))


def _offset_at(tracee: Tracee, value: int) -> str:
    data = memory.read(tracee.tid, value, tracee.abi.word) if value else None
    return pointer(value) if data is None else f"[{int.from_bytes(data, 'little')}]"


DECODERS.add("sendfile", Decoder(plain(descriptor, descriptor, _offset_at, size)))
DECODERS.add("sendfile64", Decoder(plain(descriptor, descriptor, address, size)))
DECODERS.add("copy_file_range", Decoder(plain(descriptor, _offset_at, descriptor, _offset_at, size, integer)))

_SPLICE = ((1, "SPLICE_F_MOVE"), (2, "SPLICE_F_NONBLOCK"), (4, "SPLICE_F_MORE"), (8, "SPLICE_F_GIFT"))


def _splice_flags(_tracee: Tracee, value: int) -> str:
    return flags(value & 0xFFFFFFFF, _SPLICE, "SPLICE_F_???")


DECODERS.add("splice", Decoder(plain(descriptor, _offset_at, descriptor, _offset_at, size, _splice_flags)))
DECODERS.add("tee", Decoder(plain(descriptor, descriptor, size, _splice_flags)))
