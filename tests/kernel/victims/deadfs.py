"""A file system in 40 lines (FUSE, linux/fuse.h) that answers until somebody reads, and then nobody any more."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import struct

_LOOKUP, _GETATTR, _OPEN, _READ, _INIT = 1, 3, 14, 15, 26
_ATTR = struct.pack("=6Q10I", 2, 4096, 8, 0, 0, 0, 0, 0, 0, stat.S_IFREG | 0o644, 1, 0, 0, 0, 4096, 0)
_ROOT = struct.pack("=6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0)


def mount(path: str) -> int:
    """Mount it at `path` (in a mount namespace of its own, please); returns the server's pid."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if ctypes.CDLL(None).mount(b"dead", path.encode(), b"fuse", 0, options) != 0:
        raise OSError("mount refused")
    pid = os.fork()
    if pid == 0:
        signal.alarm(100)  # then the kernel releases everybody with an error
        _serve(device)
    os.close(device)
    return pid


def _serve(device: int) -> None:
    dead = False
    while True:
        request = os.read(device, 1 << 17)
        _, code, unique, node = struct.unpack_from("=IIQQ", request)
        dead = dead or code == _READ
        answer = _answer(code, node)
        if not dead and answer is not None:
            os.write(device, struct.pack("=IiQ", 16 + len(answer), 0, unique) + answer)


def _answer(code: int, node: int) -> bytes | None:
    if code == _INIT:
        return struct.pack("=4I2HII2HI7I", 7, 31, 0, 0, 8, 6, 65536, 1, 0, 0, 0, *(0,) * 7)
    if code == _LOOKUP:
        return struct.pack("=4Q2I", 2, 1, 0, 0, 0, 0) + _ATTR
    if code == _GETATTR:
        return struct.pack("=QII", 0, 0, 0) + (_ROOT if node == 1 else _ATTR)
    if code == _OPEN:
        return struct.pack("=QII", 1, 1, 0)
    return None
