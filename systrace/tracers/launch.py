"""What strace really starts: takes the job's descriptors out of a socket, then becomes the job.

strace and the job start as one process, so every descriptor that the job shall have would also stay open in strace for
as long as strace lives, and a pipe's reader (`ssh host systrace run -- start-daemon`, `| cat`, a lock held through a
descriptor) would wait for strace instead of the job. So strace gets none of them; they wait in a socket (SCM_RIGHTS,
unix(7)) until this program takes them, sets the job's signals as they were, and calls execve(2). It imports next to
nothing, because every traced job waits for it. `spool` drops its calls from the recording.
"""

import _signal  # type: ignore[import-not-found] # `signal` without its enums: 5 ms
import errno
import os
import sys

FDS_MAX = 250  # SCM_MAX_FD of linux/net/scm.h is 253


def main() -> None:
    """`launch.py SOCKET PATH ARG0 ...`: says `TRACER_PID`, and ` ERRNO` if execve fails, into the first descriptor."""
    import _socket

    channel = _socket.socket(fileno=int(sys.argv[1]))
    text, control, _flags, _address = channel.recvmsg(65536, _socket.CMSG_SPACE(4 * FDS_MAX))
    data = b"".join(item[2] for item in control)
    found = [int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, len(data), 4)]
    numbers, mask = ([int(word) for word in part.split()] for part in text.split(b";"))
    report, *kept = _moved(found, above=max(channel.fileno(), *found, *numbers))
    os.write(report, str(_tracer()).encode())
    channel.close()
    path, argv = os.fsencode(sys.argv[2]), [os.fsencode(word) for word in sys.argv[3:]]
    try:
        for number in {0, 1, 2}.difference(numbers):
            os.close(number)
        for descriptor, number in zip(kept, numbers, strict=True):
            os.dup2(descriptor, number, inheritable=True)
        _restore_signals(set(mask))
        _execute(path, argv, environment())
    except (OSError, ValueError) as error:
        os.write(report, f" {getattr(error, 'errno', None) or errno.EINVAL}".encode())
        os._exit(127)


def _execute(path: bytes, argv: list[bytes], variables: dict[bytes, bytes]) -> None:
    try:
        os.execve(path, argv, variables)  # noqa: S606
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        os.execve(b"/bin/sh", [b"sh", path, *argv[1:]], variables)  # noqa: S606 (no #!: as every shell does)


def environment() -> dict[bytes, bytes]:
    """The environment that this process was started with: Python itself adds LC_CTYPE in the C locale (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 (importing pathlib costs 5 ms)
        pairs = [pair.partition(b"=") for pair in file.read().split(b"\0") if b"=" in pair[1:]]
    return {name: value for name, _equals, value in pairs} if pairs else dict(os.environb)


def _moved(descriptors: list[int], above: int) -> list[int]:
    """The same descriptors with numbers above all that the job shall have, closed by execve."""
    moved = [os.dup2(number, above + place, inheritable=False) for place, number in enumerate(descriptors, start=1)]
    for descriptor in descriptors:
        os.close(descriptor)
    return moved


def _tracer() -> int:
    with open("/proc/self/status", "rb") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(b"TracerPid:"):
                return int(line[10:])
    return 0


def _restore_signals(mask: set[int]) -> None:
    """Python ignores these at its start; the job must not inherit that."""
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


if __name__ == "__main__":
    main()
