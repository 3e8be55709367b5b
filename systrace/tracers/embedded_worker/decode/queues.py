"""Waiting without a descriptor: System V semaphores and messages, POSIX message queues, futex2."""

from __future__ import annotations

import struct

from systrace.tracers.embedded_worker import memory
from systrace.tracers.embedded_worker.decode import DECODERS, descriptor
from systrace.tracers.embedded_worker.decode.descriptors import clock
from systrace.tracers.embedded_worker.decode.structures import text, time_pair
from systrace.tracers.embedded_worker.text import flags, pointer, signed, signed_word
from systrace.tracers.embedded_worker.tracee import Args, Decoder, Tracee

_SEMBUF = struct.Struct("=Hhh")  # struct sembuf, linux/sem.h
_SEM_FLAGS = ((0o4000, "IPC_NOWAIT"), (0o10000, "SEM_UNDO"))
_MSG_FLAGS = ((0o4000, "IPC_NOWAIT"), (0o10000, "MSG_NOERROR"), (0o20000, "MSG_EXCEPT"), (0o40000, "MSG_COPY"))
_WAITER = struct.Struct("=QQII")  # struct futex_waitv, linux/futex.h
_MOST = 128


def _limit(tracee: Tracee, at: int) -> str:
    word = 8 if tracee.name.endswith("64") or tracee.name.startswith("futex") else tracee.abi.word
    return time_pair(tracee, at, "tv_nsec", word)


def _operations(tracee: Tracee, args: Args) -> str:
    count = args[2]
    data = memory.read(tracee.tid, args[1], min(count, _MOST) * _SEMBUF.size)
    if data is None:
        return f"{signed(args[0])}, {pointer(args[1])}, {count}"
    parts = [
        f"{{sem_num={number}, sem_op={change}, sem_flg={flags(bits & 0xFFFF, _SEM_FLAGS)}}}"
        for number, change, bits in _SEMBUF.iter_unpack(data)
    ]
    return f"{signed(args[0])}, [{', '.join(parts)}{', ...' if count > _MOST else ''}], {count}"


def _timed_operations(tracee: Tracee, args: Args) -> str:
    return f"{_operations(tracee, args)}, {_limit(tracee, args[3])}"


def _msgrcv_enter(_tracee: Tracee, args: Args) -> str:
    return f"{signed(args[0])}, "


def _msgrcv_leave(tracee: Tracee, args: Args, value: int) -> str:
    word = tracee.abi.word
    kind = memory.read(tracee.tid, args[1], word) if value >= 0 else None
    shown = pointer(args[1])
    if kind is not None:
        mtype = int.from_bytes(kind, "little", signed=True)
        shown = f"{{mtype={mtype}, mtext={text(tracee, args[1] + word, args[2])}}}"
    bits = flags(args[4] & 0xFFFFFFFF, _MSG_FLAGS)
    return f"{shown}, {args[2]}, {signed_word(args[3], word)}, {bits}"


def _mq_enter(tracee: Tracee, args: Args) -> str:
    return f"{descriptor(tracee, args[0])}, "


def _mq_leave(tracee: Tracee, args: Args, value: int) -> str:
    shown = text(tracee, args[1], value) if value >= 0 else pointer(args[1])
    return f"{shown}, {args[2]}, {pointer(args[3])}, {_limit(tracee, args[4])}"


def _futex_waitv(tracee: Tracee, args: Args) -> str:
    count = args[1] & 0xFFFFFFFF
    data = memory.read(tracee.tid, args[0], min(count, _MOST) * _WAITER.size)
    waiters = pointer(args[0])
    if data is not None:
        parts = [
            f"{{val={val:#x}, uaddr={pointer(at)}, flags={bits:#x}}}" for val, at, bits, _ in _WAITER.iter_unpack(data)
        ]
        waiters = f"[{', '.join(parts)}]"
    return f"{waiters}, {count}, {args[2]}, {_limit(tracee, args[3])}, {clock(tracee, args[4])}"


def _futex_wait(tracee: Tracee, args: Args) -> str:
    values = f"{pointer(args[0])}, {args[1]:#x}, {args[2]:#x}, {args[3]:#x}"
    return f"{values}, {_limit(tracee, args[4])}, {clock(tracee, args[5])}"


DECODERS.add("semop", Decoder(_operations))
for _name in ("semtimedop", "semtimedop_time64"):
    DECODERS.add(_name, Decoder(_timed_operations))
DECODERS.add("msgrcv", Decoder(_msgrcv_enter, _msgrcv_leave))
for _name in ("mq_timedreceive", "mq_timedreceive_time64"):
    DECODERS.add(_name, Decoder(_mq_enter, _mq_leave))
DECODERS.add("futex_waitv", Decoder(_futex_waitv))
DECODERS.add("futex_wait", Decoder(_futex_wait))
