"""Reads and writes stop the job only at descriptors that matter: none of them may be missed, none may be disturbed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from systrace.tracers import Request
from systrace.tracers.embedded import Embedded
from tests.tracers.embedded_job import REAL, python

pytestmark = REAL
# what `calls.MAKERS` names, and reads and writes: then the worker narrows its filter
_WANTED = (
    "accept accept4 dup dup2 dup3 fcntl open openat pipe pipe2 recvmsg socket socketpair read write readv writev close "
    "clone clone3 fork vfork execve exit_group rt_sigreturn connect rename renameat renameat2"
)
WANTED = frozenset(_WANTED.split())


def trace(text: str, path: Path) -> str:
    """Run a Python job to its end; it has to end well."""
    command = python(text)
    with Embedded().run(command, Request(path, WANTED)) as capture:
        assert capture.wait(60) == 0
        assert capture.fault() is None
    return path.read_text()  # the job's lines are written before its status is told


def test_sockets_and_pipes_are_seen_from_their_first_byte(tmp_path: Path) -> None:
    text = trace(
        """
        import os, socket
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        os.write(accepted.fileno(), b"accepted"); os.read(client.fileno(), 8)
        a, b = os.pipe()
        os.write(b, b"pipe"); os.read(a, 4)
        left, right = socket.socketpair()
        os.write(left.fileno(), b"pair"); os.read(right.fileno(), 4)
        c = os.dup(b)
        os.write(c, b"dup"); os.read(a, 3)
        os.dup2(b, 77)
        os.write(77, b"dup2"); os.read(a, 4)
        socket.send_fds(left, [b"f"], [b])
        _, fds, _, _ = socket.recv_fds(right, 1, 1)
        os.write(fds[0], b"passed"); os.read(a, 6)
        if os.fork() == 0:
            os.write(b, b"forked"); os._exit(0)
        os.read(a, 6)
        os.set_inheritable(b, True)
        if os.fork() == 0:
            os.execv("/bin/sh", ["sh", "-c", "printf execed >/proc/self/fd/77"])
        os.wait(); os.wait()
        """,
        tmp_path / "trace",
    )
    for word in ("accepted", "pipe", "pair", "dup", "dup2", "passed", "forked"):
        assert re.search(rf'write\(\d+<\w+:\[\d+\]>, "{word}", {len(word)}\) = {len(word)} ', text), word
        assert re.search(rf'read\((\d+<\w+:\[\d+\]>, |.*resumed>)"{word}", {len(word)}\) = {len(word)} ', text), word


def test_many_descriptors(tmp_path: Path) -> None:
    """More than there may be filters of one number each."""
    text = trace(
        """
        import os
        pipes = [os.pipe() for _ in range(400)]
        for number, (a, b) in enumerate(pipes):
            os.write(b, b"n%d." % number)
            assert os.read(a, 10) == b"n%d." % number
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        assert int(status["Seccomp_filters"]) < 40
        """,
        tmp_path / "trace",
    )
    for number in range(400):
        assert len(re.findall(rf'"n{number}\.", ', text)) == 2


def test_threads_share_what_one_of_them_opened(tmp_path: Path) -> None:
    text = trace(
        """
        import os, threading
        ready = threading.Event()
        box = []
        def reader():
            ready.wait()
            for a, _ in box:
                assert os.read(a, 9) == b"thread"
        threads = [threading.Thread(target=reader) for _ in range(1)]
        [t.start() for t in threads]
        for _ in range(30):
            box.append(os.pipe())
            os.write(box[-1][1], b"thread")
        ready.set()
        [t.join() for t in threads]
        """,
        tmp_path / "trace",
    )
    assert len(re.findall(r'(read\(\d+<pipe:\[\d+\]>, |resumed>)"thread", 9\) = 6', text)) == 30


def test_signals_in_the_middle_disturb_nothing(tmp_path: Path) -> None:
    text = trace(
        """
        import os, signal
        count = [0]
        def tick(*_):
            count[0] += 1
        signal.signal(signal.SIGALRM, tick)
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
        for number in range(40):
            if os.fork() == 0:
                signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
                for _ in range(15):
                    a, b = os.pipe()
                    c = os.dup(a)
                    assert 2 < a < b < c < 300
                    assert os.fstat(a).st_ino == os.fstat(b).st_ino == os.fstat(c).st_ino
                    os.write(b, b"x%d" % a)
                    assert os.read(c, 9) == b"x%d" % a
                os._exit(5)
            assert os.waitstatus_to_exitcode(os.wait()[1]) == 5
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert count[0] > 10
        """,
        tmp_path / "trace",
    )
    assert len(re.findall(r"write\(\d+<pipe", text)) == 40 * 15
    assert len(re.findall(r'"x\d+", 9\) = ', text)) == 40 * 15


SANDBOX = """
    import ctypes, os, struct
    libc = ctypes.CDLL(None, use_errno=True)
    # kill whoever calls seccomp(2), allow the rest
    number = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x80000000), (0x06, 0, 0, 0x7FFF0000)]
    data = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *row) for row in code))
    prog = ctypes.create_string_buffer(struct.pack("=H6xQ", len(code), ctypes.addressof(data)))
    libc.prctl(38, 1, 0, 0, 0)
    assert libc.prctl(22, 2, prog, 0, 0) == 0
    a, b = os.pipe()
    os.write(b, b"sandboxed"); assert os.read(a, 20) == b"sandboxed"
    if os.fork() == 0:
        os.write(b, b"child"); os._exit(0)
    assert os.read(a, 20) == b"child"
    os.wait()
"""


def test_a_program_with_a_sandbox_of_its_own_is_left_to_it(tmp_path: Path) -> None:
    text = trace(SANDBOX, tmp_path / "trace")
    for word in ("sandboxed", "child"):
        assert re.search(rf'write\(\d+<pipe:\[\d+\]>, "{word}", ', text)
        assert re.search(rf'(read\(\d+<pipe:\[\d+\]>, |resumed>)"{word}", 20\)', text)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up its rights")
def test_a_program_that_gave_up_its_rights_is_still_seen_and_can_still_be_raised(tmp_path: Path) -> None:
    text = trace(
        """
        import os
        os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        a, b = os.pipe()
        os.write(b, b"humble"); assert os.read(a, 20) == b"humble"
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        assert status["NoNewPrivs"].strip() == "0"
        """,
        tmp_path / "trace",
    )
    assert re.search(r'write\(\d+<pipe:\[\d+\]>, "humble", 6\) = 6', text)
    assert re.search(r'read\(\d+<pipe:\[\d+\]>, "humble", 20\) = 6', text)


def test_plain_files_are_left_alone_and_logs_are_not(tmp_path: Path) -> None:
    text = trace(
        f"""
        import os
        for name in ("data.bin", "job.log"):
            fd = os.open({str(tmp_path)!r} + "/" + name, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
            for _ in range(3):
                os.write(fd, b"to " + name.encode())
            os.pread(fd, 5, 0)
            os.close(fd)
        """,
        tmp_path / "trace",
    )
    assert text.count('"to job.log"') == 3
    assert '"to data.bin"' not in text


def test_what_makes_a_thread_or_a_child_stands_before_its_lines(tmp_path: Path) -> None:
    """Under load a child often runs before the call that made it returns; the analysis would take it for a stranger."""
    text = trace(
        """
        import os, threading
        pid = os.getpid()
        def worker():
            os.close(os.dup(0))
            if os.getpid() == pid:
                child = os.fork()
                if not child:
                    os.close(os.dup(0))
                    os._exit(0)
                os.waitpid(child, 0)
        for _ in range(40):
            threads = [threading.Thread(target=worker) for _ in range(5)]
            [t.start() for t in threads]
            [t.join() for t in threads]
        """,
        tmp_path / "trace",
    )
    lines = text.splitlines()
    first = {line.split()[0]: number for number, line in reversed(list(enumerate(lines))) if line[:1].isdigit()}
    waiting: dict[str, int] = {}
    late = []
    made = 0
    for number, line in enumerate(lines):
        tid = line.split()[0]
        if " clone" not in line and "fork" not in line:
            continue
        if "unfinished" in line:
            waiting[tid] = number
        elif (returned := re.search(r"\) = (\d+) <", line)) is not None:
            made += 1
            began = waiting.pop(tid, number)
            late += [line] if first.get(returned[1], number) < began else []
    assert made >= 400
    assert late == []


def test_a_new_name_is_printed_as_strace_does(tmp_path: Path) -> None:
    text = trace(
        f"""
        import os
        os.chdir({str(tmp_path)!r})
        open("a", "w").close()
        os.rename("a", "b")
        os.rename("b", "c", src_dir_fd=os.open(".", os.O_RDONLY))
        """,
        tmp_path / "trace",
    )
    assert re.search(r'rename\("a", "b"\) = 0', text)
    assert re.search(r'renameat2?\(\d+<[^>]+>, "b", AT_FDCWD, "c"(, 0)?\) = 0', text)
