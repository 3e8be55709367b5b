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

FDS_MAX = 250  # in one message: SCM_MAX_FD of linux/net/scm.h is 253
NAME = b"systrace-launch"  # until execve(2) gives it the job's: a dead process still tells which one it was


def main() -> None:
    """`launch.py SOCKET PATH ARG0 ...`: says `TRACER_PID ` into the first descriptor, and `ERRNO` if execve fails, or
    `-ERRNO` if anything before that fails: the descriptors cannot be had.

    The first message is `NUMBERS;SIGNALS;N`: N more come, of `NUMBERS` alone. N is left out where all is as usual.
    The last one is `go` or `no`: whether a job without a tracer is to run at all is for systrace to decide.
    """
    tools = [int(sys.argv[1])]  # what must not be where the job's descriptors go: the socket, the pipe to report into
    text, found = _receive(tools[0])
    numbers, mask, more = ([int(word) for word in part.split()] for part in text.split(b";"))
    tools.append(found[0])
    os.set_inheritable(found[0], False)
    tracer = _tracer()
    with open("/proc/self/comm", "wb", buffering=0) as name:  # noqa: PTH123
        name.write(NAME)
    os.write(tools[1], b"%d " % tracer)
    path, argv = os.fsencode(sys.argv[2]), [os.fsencode(word) for word in sys.argv[3:]]
    sign = b"-"
    try:
        for number in {0, 1, 2}.difference(numbers):
            os.close(number)
        batch = dict(zip(found[1:], numbers, strict=True))
        if more:
            _place_many(batch, more[0], tools)
        else:
            _place(batch, tools)
        word = _receive(tools[0])[0]
        if word != b"go" and (word or not tracer):  # no word: systrace was killed, and with a tracer the job goes on
            os._exit(127)
        os.close(tools[0])
        variables = environment()
        restore_signals(set(mask))
        sign = b""
        execute(path, argv, variables)
    except (OSError, ValueError) as error:
        os.write(tools[1], b"%s%d" % (sign, getattr(error, "errno", None) or errno.EINVAL))
        os._exit(127)


def _receive(number: int) -> tuple[bytes, list[int]]:
    """One message, and the descriptors in it, in the numbers that were free."""
    import _socket

    channel = _socket.socket(fileno=number)
    try:
        text, control, flags, _address = channel.recvmsg(65536, _socket.CMSG_SPACE(4 * FDS_MAX))
    finally:
        channel.detach()
    data = b"".join(item[2] for item in control)
    if flags & _socket.MSG_CTRUNC:
        raise OSError(errno.EMFILE, "")  # no room for them all
    return text, [int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, len(data), 4)]


def _place(pending: dict[int, int], tools: list[int]) -> None:
    """Give descriptors their numbers (ours -> the job's); who is in the way, a tool or one of them, moves aside.

    Nothing more than one descriptor is needed at a time, as the job may have nearly as many as its limit allows.
    """
    while pending:
        ours, number = pending.popitem()
        if ours == number:
            os.set_inheritable(ours, True)
            continue
        if number in pending:
            pending[os.dup(number)] = pending.pop(number)
        elif number in tools:
            tools[tools.index(number)] = os.dup(number)
        os.dup2(ours, number, inheritable=True)
        os.close(ours)


def _place_many(batch: dict[int, int], messages: int, tools: list[int]) -> None:
    """The same where more messages follow, or numbers are above the soft limit (it was lowered after they were opened)."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _place(batch, tools)
    for _ in range(messages):
        text, found = _receive(tools[0])
        _place(dict(zip(found, map(int, text.split()), strict=True)), tools)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def execute(path: bytes, argv: list[bytes], variables: dict[bytes, bytes]) -> None:
    """execve(2); a script that does not name its interpreter is run by the shell.

    Raises:
        OSError: it cannot be executed.
    """
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


def _tracer() -> int:
    with open("/proc/self/status", "rb") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(b"TracerPid:"):
                return int(line[10:])
    return 0


def restore_signals(mask: set[int]) -> None:
    """Python ignores these at its start; the job must not inherit that."""
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


if __name__ == "__main__":
    main()
