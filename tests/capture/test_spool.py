from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from systrace.capture.process_tree import descendants
from systrace.capture.spool import ENDING, KILLED, PIPE_BYTES, Spool
from systrace.tracers.waiting import pidfd, status_field, tracer_of, wait_any

SHIM = (
    b'77 1.000000001 execve("/usr/bin/python3", ["python3", "/x/tracers/launch.py", "3"], 0x1 /* 9 vars */) = 0 <0.1>\n'
    b'77 1.000000002 read(3</x/tracers/launch.py>, "it then calls execve(2) 77 1.0 execve(", 99) = 99 <0.1>\n'
)
JOB = (
    b'77 1.000000003 execve("/bin/true", ["true"], 0x1 /* 9 vars */) = 0 <0.1>\n77 1.000000004 +++ exited with 0 +++\n'
)


class Pipe:
    """A spooler with the test as tracer."""

    def __init__(self, path: Path, directory: Path, limit: int | None) -> None:
        self.path = path
        self.directory = directory
        fifo = directory / "fifo"
        os.mkfifo(fifo)
        target = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.write(target, b"# head\n")
        self.spool = Spool(fifo, target, limit, directory)
        os.close(target)
        self.writer = fifo.open("wb", buffering=0)

    def text(self) -> bytes:
        """Without the head."""
        return self.path.read_bytes().removeprefix(b"# head\n")


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Callable[..., Pipe]]:
    made = []

    def make(limit: int | None = None, path: Path | None = None) -> Pipe:
        directory = tmp_path / "private"
        directory.mkdir()
        made.append(Pipe(path or tmp_path / "trace", directory, limit))
        return made[-1]

    yield make
    for each in made:
        each.writer.close()
        each.spool.close()


def test_the_launchers_calls_are_dropped(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    for at in range(0, len(SHIM + JOB), 50):
        one.writer.write((SHIM + JOB)[at : at + 50])
    one.writer.close()
    done = one.spool.finish()
    assert one.text() == JOB
    assert (done.ended, done.lost, done.fault) == (True, 0, "")
    assert done.written == len(b"# head\n" + JOB)


@pytest.mark.parametrize("text", [JOB, b"5 1.0 read(3, ", b'5 1.000000001 read(3, "execve(", 9) = 9\n' * 9, b""])
def test_other_texts_are_copied_whole(pipe: Callable[..., Pipe], text: bytes) -> None:
    one = pipe()
    one.writer.write(text)
    one.writer.close()
    assert one.spool.finish().ended
    assert one.text() == text


def test_much_text_is_copied_whole(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    text = b"".join(b"5 1.%09d read(3, %d) = 1\n" % (i, i) for i in range(300_000))
    view = memoryview(text)
    while view:
        view = view[one.writer.write(view[:PIPE_BYTES]) or 0 :]
    one.writer.close()
    assert one.spool.finish().lost == 0
    assert one.text() == text


def test_the_limit_cuts_at_a_line_and_never_blocks(pipe: Callable[..., Pipe]) -> None:
    one = pipe(limit=1000)
    line = b"5 1.000000001 read(3, 4) = 1\n"
    for _ in range(200_000):
        one.writer.write(line)
    one.writer.close()
    done = one.spool.finish()
    assert "limit of 1000 bytes" in done.fault
    assert 900 < done.written <= 1000
    assert one.text() == line * ((1000 - 7) // len(line))
    assert done.written + done.lost == 7 + 200_000 * len(line)


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_ends_at_a_line_with_room_for_the_last(pipe: Callable[..., Pipe], tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", small], check=True)
    try:
        one = pipe(path=small / "trace")
        line = b"5 1.000000001 read(3, 4) = 1\n"
        for _ in range(20_000):
            one.writer.write(line)
        one.writer.close()
        done = one.spool.finish()
        assert "disk full" in done.fault
        assert done.lost > 0
        assert one.text().replace(line, b"") == b""
        with one.path.open("ab", buffering=0) as file:
            assert file.write(b"x" * (ENDING // 2)) == ENDING // 2
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_children_that_outlive_the_job_are_not_waited_for(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    one.writer.write(JOB)
    began = time.monotonic()
    done = one.spool.finish()
    assert time.monotonic() - began < 20
    assert not done.ended
    assert one.text() == JOB
    for _ in range(50_000):  # more than the pipe holds: it is still read, by nobody's leave
        one.writer.write(b"5 1.000000001 read(3, 4) = 1\n")
    assert one.text() == JOB


def test_systrace_killed_the_recording_goes_on(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    one.writer.write(JOB)
    os.close(one.spool._control.detach())
    one.writer.write(b"5 2.0 read(3, 4) = 1\n")
    one.writer.close()
    os.waitpid(one.spool.pid, 0)
    assert one.text() == JOB + b"5 2.0 read(3, 4) = 1\n"
    assert not one.directory.exists()


def test_systrace_killed_an_attached_tracer_is_ended(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    with subprocess.Popen(["sleep", "60"]) as tracer:
        one.spool.end_with_us(tracer.pid)
        os.close(one.spool._control.detach())
        assert tracer.wait(20) == -signal.SIGTERM
    one.writer.close()


def spooler_of(one: Pipe) -> int:
    """Who does the work for the keeper."""
    while not (found := descendants(one.spool.pid)):
        time.sleep(0.001)
    return found[0].pid


def test_a_killed_spooler_is_said_and_replaced(pipe: Callable[..., Pipe]) -> None:
    """What was recorded stays; what still comes is read, by another one, and forgotten."""
    one = pipe()
    one.writer.write(JOB)
    while one.text() != JOB:
        time.sleep(0.001)
    first = spooler_of(one)
    os.kill(first, signal.SIGKILL)
    while spooler_of(one) == first:
        time.sleep(0.001)
    for _ in range(50_000):  # more than the pipe holds
        one.writer.write(b"5 1.000000001 read(3, 4) = 1\n")
    one.writer.close()
    done = one.spool.finish()
    assert "was killed" in done.fault
    assert done.lost >= 50_000 * 29
    assert one.text() == JOB


def test_a_killed_keeper_is_no_loss(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    spooler_of(one)
    os.kill(one.spool.pid, signal.SIGKILL)
    os.waitpid(one.spool.pid, 0)
    one.writer.write(JOB)
    one.writer.close()
    done = one.spool.finish()
    assert (done.ended, done.fault) == (True, "")
    assert one.text() == JOB


def test_terminal_signals_do_not_reach_the_spooler(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    one.writer.write(JOB)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(one.spool.pid, number)
    one.writer.close()
    assert one.spool.finish().ended


@pytest.mark.real
def test_strace_killed_and_the_job_goes_on(start: Callable[..., Any], python: list[str], tmp_path: Path) -> None:
    """The job is in a wait when strace dies: thereafter its calls, threads and children work as before."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    os.mkfifo(ready)
    os.mkfifo(go)
    code = f"""
import os, sys, threading
lock = threading.Semaphore(0)
results = []
def work():
    lock.acquire()
    reader, writer = os.pipe()
    os.write(writer, b"x")
    results.append(os.read(reader, 1))
thread = threading.Thread(target=work)
thread.start()
open({str(ready)!r}, "w").close()
open({str(go)!r}).read()
lock.release()
thread.join()
if os.fork() == 0:
    os.execv("/bin/sh", ["sh", "-c", "read line < /etc/passwd && test -n \\"$line\\""])
sys.exit(40 + (results == [b"x"]) + os.wait()[1])
"""
    going = start([*python, code])
    assert ready.read_bytes() == b""
    with go.open("wb"):
        while not (status_field(going.capture.pid, "State") or "").startswith("S"):
            time.sleep(0.005)  # now the job is in read(2) of this
        os.kill(going.capture.tracer_pid, signal.SIGKILL)
        while tracer_of(going.capture.pid) in (0, going.capture.tracer_pid):
            time.sleep(0.005)
    done = going.finish()
    assert done.status == 41
    assert "ended before the job" in (done.fault or "")
    assert done.heard == "the job goes on untraced"


def test_systrace_killed_while_it_reports_its_directory_goes_all_the_same(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    one.writer.write(JOB)
    one.writer.close()
    assert one.spool.finish().ended
    assert one.directory.exists()
    os.close(one.spool._control.detach())
    os.waitpid(one.spool.pid, 0)
    assert not one.directory.exists()


def test_a_tracer_finds_a_reader_though_keeper_and_spooler_are_dead(tmp_path: Path) -> None:
    """It would wait for one in open(2), and the job with it."""
    directory = tmp_path / "private"
    directory.mkdir()
    os.mkfifo(directory / "fifo")
    target = os.open(tmp_path / "trace", os.O_RDWR | os.O_CREAT, 0o600)
    spool = Spool(directory / "fifo", target, None, directory)
    own = [pidfd(each.pid) for each in descendants(spool.pid)]
    os.kill(spool.pid, signal.SIGKILL)  # the keeper first: it would start another one
    os.waitpid(spool.pid, 0)
    for spooler in own:
        if spooler is not None:
            signal.pidfd_send_signal(spooler, signal.SIGKILL)
            assert wait_any([spooler], 60)
            os.close(spooler)
    writer = os.open(directory / "fifo", os.O_WRONLY)
    spool.opened()
    with pytest.raises(BrokenPipeError):  # and hears, once it has begun, that nobody wants its lines
        os.write(writer, b"x")
    os.close(writer)
    os.close(target)
    spool.close()


# -------------------------------------------------------------------------------------------------------------- notes

NOTE = b'# systrace: {"reading": {"pid": 5}}'
LINE = b"5 1.000000001 read(3, 4) = 1\n"


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def heard(one: Pipe) -> None:
    """Return once the spooler has taken what it was told."""
    eventually(lambda: fcntl.ioctl(one.spool._control, termios.TIOCOUTQ, bytes(4)) == bytes(4))


@pytest.mark.parametrize("limit", [None, 100_000], ids=["spliced", "copied"])
def test_a_note_waits_for_the_end_of_a_line(pipe: Callable[..., Pipe], limit: int | None) -> None:
    one = pipe(limit=limit)
    one.writer.write(JOB + b"5 1.0 read(3, ")
    eventually(lambda: one.text() == JOB + b"5 1.0 read(3, ")
    one.spool.note(NOTE)
    heard(one)
    one.writer.write(b'"half')
    eventually(lambda: one.text() == JOB + b'5 1.0 read(3, "half')
    one.writer.write(b'", 4) = 4\n')
    whole = JOB + b'5 1.0 read(3, "half", 4) = 4\n' + NOTE + b"\n"
    eventually(lambda: one.text() == whole)
    one.spool.note(NOTE)  # nothing is under way: at once
    eventually(lambda: one.text() == whole + NOTE + b"\n")
    one.writer.close()
    done = one.spool.finish()
    assert (done.fault, done.lost) == ("", 0)
    assert done.written == len(b"# head\n" + one.text())


def test_a_note_comes_at_the_end_in_any_case(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    one.writer.write(JOB + b"5 1.0 read(3, ")
    one.spool.note(NOTE)
    one.spool.note(NOTE)
    done = one.spool.finish()
    assert one.text() == JOB + b"5 1.0 read(3, \n" + (NOTE + b"\n") * 2
    assert done.written == len(b"# head\n" + one.text())


def test_a_note_before_the_first_line_waits_for_it(pipe: Callable[..., Pipe]) -> None:
    """Until the launcher is over nothing is the job's."""
    one = pipe()
    one.spool.note(NOTE)
    heard(one)
    one.writer.write(SHIM)
    one.spool.note(NOTE)
    heard(one)
    assert one.text() == b""
    one.writer.write(JOB)
    eventually(lambda: one.text() == JOB + (NOTE + b"\n") * 2)


def test_a_note_of_a_job_without_any_line_is_kept(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    one.spool.note(NOTE)
    one.writer.close()
    assert one.spool.finish().ended
    assert one.text() == NOTE + b"\n"


def test_a_spooler_that_is_stuck_holds_nobody_up(pipe: Callable[..., Pipe], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that is gone: neither the watcher, nor the end of the job, however many notes wait."""
    monkeypatch.setattr("systrace.capture.spool.ANSWER_SECONDS", 0.02)
    one = pipe()
    one.writer.write(JOB)
    eventually(lambda: one.text() == JOB)
    below = descendants(one.spool.pid)
    for process in below:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        patience = one.spool._control.gettimeout()
        assert patience is not None
        for _ in range(3000):  # until the socket is full, and some more
            one.spool._control.setblocking(False)
            one.spool.note(NOTE)
        one.spool._control.settimeout(patience)
        one.spool.note(NOTE)
        assert one.spool.finish().fault == KILLED
    finally:
        for process in below:
            os.kill(process.pid, signal.SIGCONT)


def test_notes_are_dropped_when_the_recording_is_full(pipe: Callable[..., Pipe]) -> None:
    one = pipe(limit=1000)
    for _ in range(100):
        one.writer.write(LINE)
    eventually(lambda: one.text() == LINE * ((1000 - 7) // len(LINE)))
    one.spool.note(NOTE)
    heard(one)
    one.writer.write(LINE)
    one.writer.close()
    done = one.spool.finish()
    assert one.text().replace(LINE, b"") == b""
    assert done.written == len(b"# head\n" + one.text())
    assert "limit of 1000 bytes" in done.fault


def test_a_note_that_no_longer_fits_ends_the_recording(pipe: Callable[..., Pipe]) -> None:
    one = pipe(limit=7 + len(LINE) + 10)
    one.writer.write(LINE)
    eventually(lambda: one.text() == LINE)
    one.spool.note(NOTE)
    heard(one)
    one.writer.write(LINE)
    one.writer.close()
    assert "limit" in one.spool.finish().fault
    assert one.text() == LINE


def test_many_notes_while_much_is_written(pipe: Callable[..., Pipe]) -> None:
    """From another thread, as the watcher's come; the tracer's writes end anywhere."""
    one = pipe()
    text = b"".join(b"5 1.%09d read(3, %d) = 1\n" % (i, i) for i in range(50_000))
    notes = [NOTE + b" %d" % i for i in range(500)]

    def tell() -> None:
        for note in notes:
            one.spool.note(note)
            time.sleep(0.0005)

    telling = threading.Thread(target=tell)
    telling.start()
    for at in range(0, len(text), 4001):
        one.writer.write(text[at : at + 4001])
    telling.join()
    one.writer.close()
    done = one.spool.finish()
    lines = one.text().split(b"\n")
    assert [line for line in lines if line.startswith(b"#")] == notes
    assert b"\n".join(line for line in lines if not line.startswith(b"#")) == text
    assert (done.lost, done.written) == (0, len(b"# head\n" + one.text()))


def test_notes_for_a_spooler_that_died_harm_nobody(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    one.writer.write(JOB)
    eventually(lambda: one.text() == JOB)
    killed = spooler_of(one)
    ended = pidfd(killed)
    assert ended is not None
    os.kill(killed, signal.SIGKILL)
    assert wait_any([ended], 60)
    os.close(ended)
    for _ in range(100):
        one.spool.note(NOTE)
        one.writer.write(LINE)
    one.writer.close()
    assert "was killed" in one.spool.finish().fault
    assert one.text() == JOB


def test_notes_when_keeper_and_spooler_are_dead_harm_nobody(pipe: Callable[..., Pipe]) -> None:
    one = pipe()
    spoolers = [pidfd(spooler_of(one))]
    os.kill(one.spool.pid, signal.SIGKILL)
    os.waitpid(one.spool.pid, 0)
    for each in spoolers:
        assert each is not None
        signal.pidfd_send_signal(each, signal.SIGKILL)
        assert wait_any([each], 60)
        os.close(each)
    for _ in range(1000):
        one.spool.note(NOTE)
    assert "was killed" in one.spool.finish().fault
    one.spool.note(NOTE)
