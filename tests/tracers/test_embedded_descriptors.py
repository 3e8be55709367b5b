"""Calls on descriptors stop the job only at sockets and where words are written: none of them may be missed, none may be
disturbed."""

from __future__ import annotations

import os
import re
import socket
import textwrap
from pathlib import Path

import pytest

from systrace.tracers import Request
from systrace.tracers.embedded import Embedded
from tests.tracers.embedded_job import REAL, python

pytestmark = [*REAL, pytest.mark.usefixtures("each_tracer")]
# what `calls.MAKERS` names, and reads and writes: then the worker narrows its filter
_WANTED = (
    "accept accept4 dup dup2 dup3 fcntl open openat openat2 creat pipe pipe2 recvmsg socket socketpair read write readv writev "
    "close clone clone3 fork vfork execve exit_group rt_sigreturn connect bind close_range exit wait4 ioctl "
    "rename renameat renameat2"
)
WANTED = frozenset(_WANTED.split())


PAIR = """
import os, socket
def pair():
    return [each.detach() for each in socket.socketpair()]
"""


def trace(text: str, path: Path) -> str:
    """Run a Python job to its end; it has to end well."""
    command = python(PAIR + textwrap.dedent(text))
    with Embedded().run(command, Request(path, WANTED)) as capture:
        assert capture.wait(60) == 0
        assert capture.fault() is None
    return path.read_text()  # the job's lines are written before its status is told


def test_sockets_are_seen_from_their_first_byte(tmp_path: Path) -> None:
    text = trace(
        """
        import os, socket
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        os.write(accepted.fileno(), b"accepted"); os.read(client.fileno(), 8)
        a, b = pair()
        os.write(b, b"connected"); os.read(a, 9)
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
    for word in ("accepted", "connected", "pair", "dup", "dup2", "passed", "forked"):
        assert re.search(rf'write\(\d+<\w+:\[\d+\]>, "{word}", {len(word)}\) = {len(word)} ', text), word
        assert re.search(rf'read\((\d+<\w+:\[\d+\]>, |.*resumed>)"{word}", {len(word)}\) = {len(word)} ', text), word


def test_many_descriptors(tmp_path: Path) -> None:
    """More than there may be filters of one number each."""
    text = trace(
        """
        import os
        pairs = [pair() for _ in range(400)]
        for number, (a, b) in enumerate(pairs):
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
            box.append(pair())
            os.write(box[-1][1], b"thread")
        ready.set()
        [t.join() for t in threads]
        """,
        tmp_path / "trace",
    )
    assert len(re.findall(r'(read\(\d+<socket:\[\d+\]>, |resumed>)"thread", 9\) = 6', text)) == 30


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
                    a, b = pair()
                    c = os.dup(a)
                    assert 2 < a < b < c < 300
                    assert os.fstat(a).st_ino == os.fstat(c).st_ino != os.fstat(b).st_ino
                    os.write(b, b"x%d" % a)
                    assert os.read(c, 9) == b"x%d" % a
                os._exit(5)
            assert os.waitstatus_to_exitcode(os.wait()[1]) == 5
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert count[0] > 10
        """,
        tmp_path / "trace",
    )
    assert len(re.findall(r"write\(\d+<socket", text)) == 40 * 15
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
    a, b = pair()
    os.write(b, b"sandboxed"); assert os.read(a, 20) == b"sandboxed"
    if os.fork() == 0:
        os.write(b, b"child"); os._exit(0)
    assert os.read(a, 20) == b"child"
    os.wait()
"""


def test_a_program_with_a_sandbox_of_its_own_is_left_to_it(tmp_path: Path) -> None:
    text = trace(SANDBOX, tmp_path / "trace")
    for word in ("sandboxed", "child"):
        assert re.search(rf'write\(\d+<socket:\[\d+\]>, "{word}", ', text)
        assert re.search(rf'(read\(\d+<socket:\[\d+\]>, |resumed>)"{word}", 20\)', text)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up its rights")
def test_a_program_that_gave_up_its_rights_is_still_seen_and_can_still_be_raised(tmp_path: Path) -> None:
    text = trace(
        """
        import os
        os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        a, b = pair()
        os.write(b, b"humble"); assert os.read(a, 20) == b"humble"
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        assert status["NoNewPrivs"].strip() == "0"
        """,
        tmp_path / "trace",
    )
    assert re.search(r'write\(\d+<socket:\[\d+\]>, "humble", 6\) = 6', text)
    assert re.search(r'read\(\d+<socket:\[\d+\]>, "humble", 20\) = 6', text)


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


def test_files_that_are_only_read_are_not_seen(tmp_path: Path) -> None:
    text = trace(
        f"""
        import fcntl
        for name, flags in (("read", os.O_RDONLY), ("written", os.O_WRONLY), ("both", os.O_RDWR)):
            fd = os.open({str(tmp_path)!r} + "/" + name, flags | os.O_CREAT, 0o600)
            os.close(fd)
            fd = os.open({str(tmp_path)!r} + "/" + name, flags)
            fcntl.fcntl(fd, fcntl.F_GETFL)
            os.close(fd)
        """,
        tmp_path / "trace",
    )
    opened = re.findall(r'/(\w+)", O_(\w+)[^)]*\) = \d+', text)
    assert opened == [("read", "RDONLY"), *[("written", "WRONLY")] * 2, *[("both", "RDWR")] * 2]  # the first: O_CREAT
    assert " fcntl(" not in text


def test_a_wait_for_a_pipe_is_seen_and_its_bytes_are_not(tmp_path: Path) -> None:
    text = trace(
        """
        import time
        a, b = os.pipe()
        if os.fork() == 0:
            os.close(b)
            os.read(a, 9); os.read(a, 9)
            os._exit(0)
        os.close(a)
        os.write(b, b"early")
        time.sleep(1)
        os.write(b, b"late")
        os.wait()
        """,
        tmp_path / "trace",
    )
    assert " write(" not in text
    slept = re.search(
        r"(\d+) (\d+)\.\d+ read\(\d+<pipe:\[\d+\]>,  <unfinished \.\.\.>\n(?:.*\n)*?"
        r"\1 \S+ <\.\.\. read resumed>\) = \? \(not seen\) <([\d.]+)>",
        text,
    )
    assert slept is not None
    assert 0.4 < float(slept[3]) < 5


def test_what_a_child_still_has_of_a_pipe_is_known_when_it_executes(tmp_path: Path) -> None:
    text = trace(
        """
        a, b = os.pipe()
        os.set_inheritable(b, True)
        if os.fork() == 0:
            os.close(a)
            os.execv("/bin/true", ["true"])
        os.close(b)
        os.wait()
        """,
        tmp_path / "trace",
    )
    made = re.search(r"pipe2\(\[(\d+<pipe:\[\d+\]>), (\d+<pipe:\[\d+\]>)\]", text)
    assert made is not None
    child = re.search(r" (?:fork|v?fork|clone3?)(?:\(| resumed>).*= (\d+) <", text)
    assert child is not None
    execution = re.search(rf"{child[1]} \S+ execve.*\n", text)
    assert execution is not None
    before = text[: execution.start()]
    closes = re.findall(rf"{child[1]} \S+ close\((\S+)\) = 0", before)
    assert closes == [made[1]]
    assert re.search(rf"close\({re.escape(made[2])}\) = 0", text)


def test_high_numbers_redirections_and_other_programs(tmp_path: Path) -> None:
    text = trace(
        """
        import resource
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        a, b = pair()
        high = 2000 if min(hard, 4096) > 2000 else 900
        os.dup2(b, high); os.write(high, b"high"); os.read(a, 4)
        os.closerange(high, high + 50)
        os.dup2(os.open("/dev/null", os.O_WRONLY), b)  # no socket any more
        os.write(b, b"to a file")
        c, d = pair()
        if os.fork() == 0:
            os.dup2(d, 0); os.dup2(d, 1)
            os.execv("/bin/sh", ["sh", "-c", "read line; echo said: $line"])
        os.write(c, b"line\\n"); os.read(c, 99)
        os.wait()
        """,
        tmp_path / "trace",
    )
    assert re.search(r'write\((2000|900)<socket:\[\d+\]>, "high", 4\) = 4', text)
    assert not re.search(r'write\(\d+<[^>]*>, "to a file"', text)
    assert re.search(r'read\(0<socket:\[\d+\]>, "l", 1\) = 1|resumed>"l", 1\) = 1', text)
    assert re.search(r'write\(1<socket:\[\d+\]>, "said: line\\n", 11\) = 11', text)


def test_an_inherited_socket_is_seen(tmp_path: Path) -> None:
    left, right = socket.socketpair()
    with left, right:
        os.set_inheritable(left.fileno(), True)
        text = trace(f'os.write({left.fileno()}, b"inherited")', tmp_path / "trace")
        assert right.recv(20) == b"inherited"
    assert re.search(r'write\(\d+<socket:\[\d+\]>, "inherited", 9\) = 9', text)


def test_unix_sockets_matter_once_they_are_connected(tmp_path: Path) -> None:
    text = trace(
        f"""
        import fcntl
        path = {str(tmp_path)!r} + "/s"
        server = socket.socket(socket.AF_UNIX); server.bind(path); server.listen()
        client = socket.socket(socket.AF_UNIX)
        copy = fcntl.fcntl(client.fileno(), fcntl.F_DUPFD_CLOEXEC, 50)
        client.connect(path)
        accepted, _ = server.accept()
        os.write(client.fileno(), b"one"); os.write(copy, b"two"); os.read(accepted.fileno(), 9)
        other = socket.socket(socket.AF_UNIX)
        try:
            other.connect(path + "/none")
        except OSError:
            pass
        number = other.fileno()
        other.close()
        assert os.open("/dev/null", os.O_RDONLY) == number
        os.close(number)
        """,
        tmp_path / "trace",
    )
    for word in ("one", "two"):
        assert re.search(rf'write\(\d+<socket:\[\d+\]>, "{word}", 3\) = 3', text)
    assert "onetwo" in text
    assert "/dev/null>) = 0" not in text


def test_standard_output_in_large_pieces_is_seen_of_who_uses_sockets(tmp_path: Path) -> None:
    text = trace(
        """
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        os.write(1, b"small"); os.write(1, b"first" * 1000)
        a, b = pair()
        os.write(1, b"second" * 1000)
        """,
        tmp_path / "trace",
    )
    assert '"small", 5) = 5' in text
    assert ', "firstfirst' not in text
    assert '"secondsecond' in text


def test_processes_that_share_descriptors_stop_at_every_call(tmp_path: Path) -> None:
    """What one of them opens is not in the other's filter."""
    text = trace(
        """
        import ctypes
        libc = ctypes.CDLL(None)
        number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
        a, b = os.pipe()
        pid = libc.syscall(number, 0x400 | 17, 0, 0, 0, 0)  # CLONE_FILES
        if pid == 0:
            left, right = pair()
            os.write(b, bytes([left, right]))
            os._exit(0)
        left, right = os.read(a, 2)
        os.write(left, b"shared"); os.read(right, 6)
        os.wait()
        """,
        tmp_path / "trace",
    )
    assert re.search(r'write\(\d+<socket:\[\d+\]>, "shared", 6\) = 6', text)


def test_a_socket_as_standard_input_is_a_socket(tmp_path: Path) -> None:
    """What is asked of terminals and files under that number is left out."""
    text = trace(
        """
        import fcntl
        a, b = pair()
        fcntl.fcntl(0, fcntl.F_SETFL, os.O_RDONLY)
        os.dup2(a, 0)
        fcntl.fcntl(0, fcntl.F_SETFL, os.O_NONBLOCK)
        """,
        tmp_path / "trace",
    )
    settings = re.findall(r"fcntl\(0<(\w+):.*F_SETFL, (.*)\) = 0", text)
    assert settings == [("socket", "O_RDONLY|O_NONBLOCK")]
