"""The embedded tracer on real jobs: children, threads, exec, the end of a recording, 32-bit programs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.tracers.embedded_job import REAL, WANTED, Chosen, ended, python, run, traced

pytestmark = [*REAL, pytest.mark.usefixtures("each_tracer")]


def test_a_burst_of_short_children_is_counted_to_the_last(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = python("""
        import os
        for batch in range(40):
            children = []
            for _ in range(50):
                child = os.fork()
                if child == 0:
                    os._exit(3)
                children.append(child)
            for child in children:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    """)
    assert run(job, trace) == 0
    assert trace.read_text().count("+++ exited with 3 +++") == 2000


def test_exec_by_a_thread_goes_on_under_the_leaders_id(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = python("""
        import os, threading, time
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
        threading.Thread(target=os.execv, args=("/bin/sh", ["sh", "-c", "exit 8"])).start()
        time.sleep(100)
    """)
    assert run(job, trace) == 8
    text = trace.read_text()
    leader = next(line for line in text.splitlines() if not line.startswith("#")).split(" ", 1)[0]
    start = rf"^(\d+) [\d.]+ execve\(\"/bin/sh\".* <(?:pid changed to {leader}|unfinished) \.\.\.>$"  # unfinished: it took long
    match = re.search(start, text, re.MULTILINE)
    assert match
    thread = match[1]
    assert re.search(rf"^{leader} [\d.]+ \+\+\+ superseded by execve in pid {thread} \+\+\+$", text, re.MULTILINE)
    assert re.search(rf"^{leader} [\d.]+ <\.\.\. execve resumed>\) = 0 <", text, re.MULTILINE)
    assert text.splitlines()[-1].startswith(f"{leader} ")


def test_a_call_that_blocks_is_in_the_trace_before_it_returns(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with traced(["/bin/sleep", "1000"], trace, syscalls=frozenset({"clock_nanosleep", "execve"})) as capture:
        while "<unfinished ...>" not in trace.read_text():
            assert capture.wait(0.05) is None
        capture.signal(signal.SIGKILL)
        assert capture.wait(30) == 137
        ended(capture.tracer_pid)
    lines = trace.read_text().splitlines()
    assert re.search(r" clock_nanosleep\(.*tv_sec=1000.*, +<unfinished ...>$", lines[-3])
    assert re.search(r"<... clock_nanosleep resumed>.*\) = \?", lines[-2])


def open_files(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            found.add(str(link.readlink()))
    return found


@pytest.mark.parametrize("seccomp", [True, False])
def test_stopping_the_recording_leaves_the_job_alone(seccomp: bool, tmp_path: Path) -> None:
    """With a filter the worker has to stay; without one it lets go."""
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    job = python(f"""
        import os, subprocess
        os.write(1, b"")
        os.read({reader}, 1)
        assert subprocess.run(["/bin/true"]).returncode == 0
        tracer = [line for line in open("/proc/self/status") if line.startswith("TracerPid")][0].split()[1]
        os._exit(12 if tracer == "0" else 13)
    """)
    trace = tmp_path / "trace"
    with traced(job, trace, seccomp=seccomp, syscalls=WANTED | {"read"}) as capture:
        while "<unfinished ...>" not in trace.read_text():
            assert capture.wait(0.05) is None
        capture.stop()
        while str(trace) in open_files(capture.tracer_pid):
            assert capture.wait(0.01) is None
        while not seccomp and Path(f"/proc/{capture.pid}/status").read_text().find("TracerPid:\t0\n") < 0:
            assert capture.wait(0.05) is None
        os.write(writer, b"\n")
        assert capture.wait(30) == (13 if seccomp and Chosen.tracer.stops else 12)
        assert capture.fault() is None
        ended(capture.tracer_pid)
    os.close(reader)
    os.close(writer)
    assert 'execve("/bin/true"' not in trace.read_text()


def test_a_reader_that_goes_away_ends_the_recording_and_not_the_job(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    job = ["/bin/sh", "-c", "for n in 1 2 3 4 5 6 7 8 9; do /bin/true; sleep 0.1; done; exit 2"]
    with traced(job, fifo) as capture:
        os.close(reader)
        assert capture.wait(30) == 2
        ended(capture.tracer_pid)


# ------------------------------------------------------------------------------------------------------ 32-bit programs

SOURCE_32 = r"""
static int call(int n, int a, int b, int c) {
    int r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c) : "memory");
    return r;
}
void _start(void) {
    struct { unsigned short family, port; unsigned address; char pad[8]; } name = {2, 0x0100, 0x0100007f, {0}};
    int make[3] = {2, 1, 0};
    int fd = call(102, 1, (int)make, 0);
    int join[3] = {fd, (int)&name, 16};
    call(102, 3, (int)join, 0);
    int direct = call(359, 2, 2, 0);
    static char three[] = "three", two[] = "two";  // in memory: eBPF reads no page that is not
    three[0] = *(volatile char *)three; two[0] = *(volatile char *)two;
    struct { char *base; unsigned length; } vector[2] = {{three, 5}, {two, 3}};
    call(146, 1, (int)vector, 2);
    call(6, direct, 0, 0);
    call(252, 9, 0, 0);
}
"""


def _compiles_32(directory: Path) -> Path | None:
    source, program = directory / "small.c", directory / "small"
    source.write_text(SOURCE_32)
    words = ["gcc", "-m32", "-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie"]
    done = subprocess.run([*words, "-o", program, source], capture_output=True, check=False)
    return program if done.returncode == 0 and subprocess.run([program], check=False).returncode == 9 else None


@pytest.mark.skipif(shutil.which("gcc") is None or os.uname().machine != "x86_64", reason="needs gcc for i386")
@pytest.mark.parametrize("seccomp", [True, False])
def test_32_bit_programs_are_traced_with_their_own_numbers(tmp_path: Path, seccomp: bool) -> None:
    program = _compiles_32(tmp_path)
    assert program is not None, "gcc -m32 -nostdlib needs no 32-bit library"
    trace = tmp_path / "trace"
    assert run(["/bin/sh", "-c", f"{program} >/dev/null; exit $?"], trace, seccomp=seccomp) == 9
    text = trace.read_text()
    assert "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[" in text
    assert re.search(r"connect\(3<socket:\[\d+\]>, \{sa_family=AF_INET, sin_port=htons\(1\), .* ECONNREFUSED", text)
    assert "socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 4<socket:[" in text
    words = r'writev\(1(</dev/null>)?, \[\{iov_base="three", iov_len=5\}, \{iov_base="two", iov_len=3\}\], 2\) = 8'
    assert re.search(words, text) or "writev(" not in text  # plain files are left out
