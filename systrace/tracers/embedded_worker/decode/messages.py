"""sendmsg(2), recvmsg(2) and their plural forms: msghdr with names, buffers and control messages."""

from __future__ import annotations

import struct

from systrace.tracers.embedded_worker import memory
from systrace.tracers.embedded_worker.decode import DECODERS, descriptor
from systrace.tracers.embedded_worker.decode.options import LEVELS
from systrace.tracers.embedded_worker.decode.structures import Limits, iovec, sockaddr, timespec, timespec64
from systrace.tracers.embedded_worker.decode.transfer import message_flags
from systrace.tracers.embedded_worker.text import pointer, quote, signed
from systrace.tracers.embedded_worker.tracee import Args, Decoder, Tracee

# struct msghdr: name, namelen, iov, iovlen, control, controllen, flags (linux/socket.h)
_MSGHDR = {8: struct.Struct("=QI4xQQQQI4x"), 4: struct.Struct("=7I")}
_MMSGHDR = {8: struct.Struct("=QI4xQQQQI4xI4x"), 4: struct.Struct("=8I")}
_CMSGHDR = {8: struct.Struct("=QII"), 4: struct.Struct("=III")}
_SCM_RIGHTS, _SCM_CREDENTIALS = 1, 2
_SOL_SOCKET = 1


def _control(tracee: Tracee, address: int, size: int) -> str:
    data = memory.read(tracee.tid, address, min(size, 65536))
    if data is None:
        return pointer(address)
    layout = _CMSGHDR[tracee.abi.word]
    parts = []
    at = 0
    while at + layout.size <= len(data):
        length, level, kind = layout.unpack_from(data, at)
        if length < layout.size:
            break
        parts.append(_control_message(tracee, length, level, kind, data[at + layout.size : at + length]))
        at += -(-length // tracee.abi.word) * tracee.abi.word
    return f"[{', '.join(parts)}]"


def _control_message(tracee: Tracee, length: int, level: int, kind: int, data: bytes) -> str:
    level_text = LEVELS.get(level, f"{level:#x} /* SOL_??? */")
    kind_text, body = f"{kind:#x}", quote(data)
    if level == _SOL_SOCKET and kind == _SCM_RIGHTS:
        kind_text = "SCM_RIGHTS"
        fds = struct.unpack(f"={len(data) // 4}i", data[: len(data) // 4 * 4])
        tracee.fresh += fds
        body = f"[{', '.join([descriptor(tracee, fd) for fd in fds])}]"
    elif level == _SOL_SOCKET and kind == _SCM_CREDENTIALS and len(data) >= 12:
        kind_text = "SCM_CREDENTIALS"
        body = "{{pid={}, uid={}, gid={}}}".format(*struct.unpack_from("=iII", data))
    return f"{{cmsg_len={length}, cmsg_level={level_text}, cmsg_type={kind_text}, cmsg_data={body}}}"


def _msghdr(tracee: Tracee, fields: tuple[int, ...], asked: int | None, available: int | None) -> str:
    """`asked`: msg_namelen before the call, None for messages being sent; `available`: bytes received."""
    name, name_size, vector, count, control, control_size, flag_bits = fields[:7]
    shown = name_size if asked is None else min(name_size, asked)
    size_text = str(name_size) if asked in (None, name_size) else f"{asked} => {name_size}"
    parts = [
        f"msg_name={sockaddr(tracee, name, shown)}",
        f"msg_namelen={size_text}",
        f"msg_iov={iovec(tracee, vector, count, available)}",
        f"msg_iovlen={count}",
    ]
    if control and control_size:
        parts.append(f"msg_control={_control(tracee, control, control_size)}")
    parts += [f"msg_controllen={control_size}", f"msg_flags={message_flags(tracee, flag_bits)}"]
    return f"{{{', '.join(parts)}}}"


def _sendmsg_enter(tracee: Tracee, args: Args) -> str:
    fields = memory.unpack(tracee.tid, args[1], _MSGHDR[tracee.abi.word])
    text = pointer(args[1]) if fields is None else _msghdr(tracee, fields, None, None)
    return f"{descriptor(tracee, args[0])}, {text}, {message_flags(tracee, args[2])}"


def _recvmsg_enter(tracee: Tracee, args: Args) -> str:
    fields = memory.unpack(tracee.tid, args[1], _MSGHDR[tracee.abi.word])
    tracee.stash = fields[1] if fields else 0
    return descriptor(tracee, args[0]) + ", "


def _recvmsg_leave(tracee: Tracee, args: Args, value: int) -> str:
    fields = memory.unpack(tracee.tid, args[1], _MSGHDR[tracee.abi.word])
    if fields is None:
        text = pointer(args[1])
    elif value < 0:
        text = f"{{msg_namelen={fields[1]}}}"
    else:
        text = _msghdr(tracee, fields, tracee.stash, value)
    return f"{text}, {message_flags(tracee, args[2])}"


def _many(tracee: Tracee, address: int, count: int, received: bool) -> str:
    layout = _MMSGHDR[tracee.abi.word]
    shown = min(count, 1024, Limits.strings)
    data = memory.read(tracee.tid, address, shown * layout.size)
    if data is None:
        return pointer(address)
    parts = []
    for fields in layout.iter_unpack(data):
        header = _msghdr(tracee, fields, None, fields[7] if received else None)
        parts.append(f"{{msg_hdr={header}, msg_len={fields[7]}}}")
    return f"[{', '.join(parts)}{', ...' if shown < count else ''}]"


def _sendmmsg_leave(tracee: Tracee, args: Args, value: int) -> str:
    # msg_len is known only now; on failure all messages are shown, as none was sent
    vector = _many(tracee, args[1], value if value >= 0 else signed(args[2]), received=False)
    return f"{vector}, {signed(args[2])}, {message_flags(tracee, args[3])}"


def _first(tracee: Tracee, args: Args) -> str:
    return descriptor(tracee, args[0]) + ", "


def _recvmmsg_enter(tracee: Tracee, args: Args) -> str:
    # the kernel writes what is left of the limit over it
    tracee.kept = (timespec64 if tracee.name.endswith("64") else timespec)(tracee, args[4])
    return _first(tracee, args)


def _recvmmsg_leave(tracee: Tracee, args: Args, value: int) -> str:
    vector = _many(tracee, args[1], value, received=True) if value >= 0 else pointer(args[1])
    return f"{vector}, {signed(args[2])}, {message_flags(tracee, args[3])}, {tracee.kept}"


DECODERS.add("sendmsg", Decoder(_sendmsg_enter))
DECODERS.add("recvmsg", Decoder(_recvmsg_enter, _recvmsg_leave))
DECODERS.add("sendmmsg", Decoder(_first, _sendmmsg_leave))
for _name in ("recvmmsg", "recvmmsg_time64"):
    DECODERS.add(_name, Decoder(_recvmmsg_enter, _recvmmsg_leave))
