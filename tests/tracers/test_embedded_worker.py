"""The embedded tracer's parts that need no tracee: texts, names, filters."""

from __future__ import annotations

import codecs
import ctypes
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.parser.values import unescape
from systrace.tracers.embedded_worker import memory, registers, seccomp
from systrace.tracers.embedded_worker.coverage import Coverage
from systrace.tracers.embedded_worker.decode import DECODERS
from systrace.tracers.embedded_worker.decode.processes import format_siginfo, wait_status
from systrace.tracers.embedded_worker.decode.structures import format_sockaddr
from systrace.tracers.embedded_worker.names import AARCH64, ARM, I386, X86_64, failure, native, signal_name
from systrace.tracers.embedded_worker.output import stamp
from systrace.tracers.embedded_worker.text import annotation, flags, quote, signed, signed_word


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\n", r'"GET / HTTP/1.1\r\n"'),
        (b'a"b\\c\t\v\f', r'"a\"b\\c\t\v\f"'),
        (b"\x1b[0m\x00\x001\x7f8\xff", r'"\33[0m\0\0001\1778\377"'),
        (b"\x124\x0199\x0077", r'"\0224\199\00077"'),
        (b"", '""'),
    ],
)
def test_strings_are_escaped_as_strace_does(data: bytes, text: str) -> None:
    assert quote(data) == text


@given(st.binary(max_size=60))
def test_every_string_can_be_read_back_as_a_c_string(data: bytes) -> None:
    text = quote(data)
    assert text.isprintable()
    assert codecs.escape_decode(text[1:-1].encode("ascii"))[0] == data


def test_much_that_is_no_text_is_hexadecimal_as_with_strace_x() -> None:
    data = bytes(range(128, 256)) * 4 + b'7"\\\n'
    text = quote(data)
    assert text.startswith(r'"\x80\x81')
    assert text.endswith(r'\x37\x22\x5c\x0a"')
    assert unescape(text[1:-1].encode()) == data
    assert quote(data[:500]).startswith(r'"\200\201')


def test_memory_of_a_process_that_has_another_program_now() -> None:
    """The file of the former memory stays open, and must not be asked any more."""
    with subprocess.Popen(["sh", "-c", "read line; exec sleep 100"], stdin=subprocess.PIPE) as child:
        try:
            assert child.stdin is not None
            first, before = _mapping(child.pid)
            assert memory.read(child.pid, first, 4) == b"\x7fELF"
            child.stdin.write(b"\n")
            child.stdin.flush()
            while (second := _mapping(child.pid))[1] == before:
                pass
            assert memory.read(child.pid, second[0], 4) is None
            memory.forget(child.pid)
            assert memory.read(child.pid, second[0], 4) == b"\x7fELF"
        finally:
            memory.forget(child.pid)
            child.kill()
    assert memory.read(child.pid, first, 4) is None
    memory.forget(child.pid)


def _mapping(pid: int) -> tuple[int, str]:
    """Address and file of a process's first mapping, once its program is there."""
    while True:
        words = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").split()
        if len(words) > 5 and words[5].startswith("/"):
            return int(words[0].partition("-")[0], 16), words[5]


def test_more_processes_than_open_files() -> None:
    buffer = ctypes.create_string_buffer(b"here", 4)
    address = ctypes.addressof(buffer)
    children = [subprocess.Popen(["sleep", "100"]) for _ in range(70)]
    try:
        for child in children * 2:
            assert memory.read(child.pid, _mapping(child.pid)[0], 4) == b"\x7fELF"
        names = [
            str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink() and link.exists()
        ]
        assert sum(name.endswith("/mem") for name in names) <= 64
        assert memory.read(os.getpid(), address, 4) == b"here"
        assert memory.read(os.getpid(), 1 << 63, 4) is None
        assert memory.read(os.getpid(), 1 << 64, 4) is None
    finally:
        for child in children:
            memory.forget(child.pid)
            child.kill()
            child.wait()
        memory.forget(os.getpid())


def test_annotations_hold_no_brackets_and_no_control_bytes() -> None:
    assert annotation("/tmp/a b") == "/tmp/a b"
    assert annotation("/a>b<c\n\udcff") == r"/a\76b\74c\12\377"


def test_numbers() -> None:
    assert (signed(0xFFFFFFFF), signed(0x7FFFFFFF), signed(-100 & 0xFFFFFFFF)) == (-1, 2**31 - 1, -100)
    assert (signed_word(2**64 - 1, 8), signed_word(0xFFFFFFFE, 4), signed_word(5, 8)) == (-1, -2, 5)
    assert stamp(1_795_223_946_509_036_999) == "1795223946.509036"
    assert stamp(0) == "0.000000"
    assert flags(0x4041, ((0x40, "A"), (0x1, "B"))) == "A|B|0x4000"
    assert flags(0x4000, ((0x40, "A"),), "X_???") == "0x4000 /* X_??? */"


def test_names_of_both_architectures() -> None:
    wanted = frozenset({"connect", "ppoll", "close_range", "epoll_pwait2", "select", "wait4"})
    assert X86_64.numbers(wanted) == [23, 42, 61, 271, 436, 441]
    assert AARCH64.numbers(wanted) == [73, 203, 260, 436, 441]
    # 32-bit programs on aarch64: wait4, _newselect, connect, ppoll, ppoll_time64 ...
    assert {*ARM.numbers(wanted)} == {7, 102, 114, 142, 283, 336, 414, 436, 441}
    # i386: waitpid, socketcall, wait4, _newselect, ppoll, connect, ppoll_time64 ...
    assert I386.numbers(wanted) == [7, 102, 114, 142, 309, 362, 414, 436, 441]
    assert [abi.name for abi in native("aarch64")] == ["aarch64", "arm"]
    assert X86_64.name_of(9999) == "syscall_0x270f"
    with pytest.raises(LookupError):
        native("s390x")


def test_results_and_signals() -> None:
    assert failure(-111) == "-1 ECONNREFUSED (Connection refused)"
    assert failure(-11).startswith("-1 EAGAIN (")
    assert failure(-512) == "? ERESTARTSYS (To be restarted if SA_RESTART is set)"
    assert failure(-600) == "-1 (errno 600)"
    assert [signal_name(number) for number in (9, 29, 32, 34, 99)] == ["SIGKILL", "SIGIO", "SIGRTMIN", "SIGRT_2", "99"]
    assert wait_status(3 << 8) == "{WIFEXITED(s) && WEXITSTATUS(s) == 3}"
    assert wait_status(11 | 0x80) == "{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}"
    assert wait_status(0x137F) == "{WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP}"
    assert wait_status(0xFFFF) == "{WIFCONTINUED(s)}"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (struct.pack("=iiixxxxii", 15, 0, 0, 77, 5), "{si_signo=SIGTERM, si_code=SI_USER, si_pid=77, si_uid=5}"),
        (
            struct.pack("=iiixxxxiiixxxxqq", 17, 0, 2, 8, 0, 9, 1, 2),
            "{si_signo=SIGCHLD, si_code=CLD_KILLED, si_pid=8, si_uid=0, si_status=SIGKILL, si_utime=1, si_stime=2}",
        ),
        (struct.pack("=iiixxxxQ", 11, 0, 1, 0), "{si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=NULL}"),
        (struct.pack("=iii", 14, 0, 0x80), "{si_signo=SIGALRM, si_code=SI_KERNEL}"),
        (b"", "{}"),
    ],
)
def test_siginfo(fields: bytes, text: str) -> None:
    assert format_siginfo(fields.ljust(128, b"\0")) == text


@given(st.binary(min_size=128, max_size=128))
def test_siginfo_of_any_bytes(data: bytes) -> None:
    assert format_siginfo(data).startswith("{")


@given(st.binary(min_size=2, max_size=128))
def test_socket_addresses_of_any_bytes(data: bytes) -> None:
    text = format_sockaddr(data)
    assert text.startswith("{sa_family=")
    assert text.isascii()
    assert text.isprintable()


# --------------------------------------------------------------------------------------------------------- the filter


def verdict(program: bytes, arch: int, number: int, first: int, second: int = 0, third: int = 0) -> int:
    """Run a BPF program over struct seccomp_data, as the kernel does."""
    data = struct.pack("=iIQ6Q", number, arch, 0, first, second, third, 0, 0, 0)
    code = list(struct.iter_unpack("=HBBI", program))
    at = value = 0
    while True:
        operation, yes, no, operand = code[at]
        at += 1
        if operation == 0x20:
            value = struct.unpack_from("=I", data, operand)[0]
        elif operation == 0x05:
            at += operand
        elif operation == 0x06:
            return int(operand)
        else:
            holds = {0x15: value == operand, 0x35: value >= operand, 0x45: value & operand != 0}[operation]
            at += yes if holds else no


NUMBERS = st.lists(st.integers(0, 460), unique=True, max_size=120)


@given(NUMBERS, NUMBERS, NUMBERS, st.integers(0, 460), st.integers(-1, 500), st.booleans())
def test_the_filter_stops_at_the_wanted_calls_only(
    wide: list[int], narrow: list[int], other: list[int], number: int, fd: int, native_call: bool
) -> None:
    narrow = [each for each in narrow[:12] if each not in wide]
    ranges = [(0, 0), (7, 9), (300, 400)]
    program = seccomp.program([(X86_64, wide), (I386, other)], [(X86_64, narrow, seccomp.on_descriptors(ranges))])
    arch = X86_64.audit if native_call else I386.audit
    covered = any(first <= fd <= last for first, last in ranges)
    stops = number in wide or (number in narrow and covered) if native_call else number in other
    assert verdict(program, arch, number, fd & 0xFFFFFFFF) == (seccomp.RET_TRACE if stops else seccomp.RET_ALLOW)
    assert verdict(program, 0xDEAD, number, fd & 0xFFFFFFFF) == seccomp.RET_ALLOW


@given(st.integers(0, 7), st.integers(0, 5), st.integers(0, 3), st.integers(0, 1 << 33))
def test_the_filter_looks_at_arguments(number: int, first: int, second: int, third: int) -> None:
    tests = [
        (X86_64, [0, 2], [*seccomp.shorter_than(1, 4096), *seccomp.on_descriptors([(2, 3)])]),
        (X86_64, [3], seccomp.with_bits(2, 0o1103)),
        (X86_64, [4, 5], [*seccomp.on_descriptors([(5, 5)]), *seccomp.one_of(1, (1, 3))]),
        (X86_64, [6], seccomp.on_descriptors([])),
    ]
    program = seccomp.program([(X86_64, [7])], tests)
    stops = {
        0: (first == 1 and third < 4096) or first in (2, 3),
        3: bool(third & 0o1103),
        4: first == 5 or second in (1, 3),
        7: True,
    }
    expected = stops.get({2: 0, 5: 4}.get(number, number), False)
    assert verdict(program, X86_64.audit, number, first, second, third) == (
        seccomp.RET_TRACE if expected else seccomp.RET_ALLOW
    )


def test_filters_stay_few_however_many_descriptors() -> None:
    coverage = Coverage([], 1)
    for fd in range(0, 100_000, 3):
        if not coverage.covers(fd):
            coverage.add(*coverage.block(fd))
    assert coverage.filters < 32
    assert coverage.covers(99_999)
    child = coverage.copy()
    child.add(-5, -5)
    assert not coverage.covers(-5)


def test_ptrace_is_imported_nowhere_but_in_the_worker() -> None:
    text = "import sys, systrace.tracers as t; list(t.TRACERS); print(sorted(m for m in sys.modules if 'ptrace' in m))"
    said = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"


def test_each_decoder_prints_something_for_a_process_that_is_gone() -> None:
    """Nothing can be read there: pointers are shown, and no decoder raises."""
    from systrace.tracers.embedded_worker.files import FileTable
    from systrace.tracers.embedded_worker.tracee import Tracee

    for abi in (X86_64, I386):
        for name, decoder in DECODERS.items():
            tracee = Tracee(4_194_000, abi, FileTable(), Coverage([], 0))
            tracee.name = name
            for word in (0, 1, 0xFFFFFFFF, 2**64 - 1):
                args = (word,) * 6
                text = decoder.enter(tracee, args)
                for value in (-14, 0, 3):
                    text += decoder.leave(tracee, args, value) if decoder.leave else ""
                    text += decoder.result(tracee, args, value) if decoder.result and value >= 0 else ""
                assert text.isascii()


@pytest.mark.parametrize(("machine", "back"), [("x86_64", 2), ("aarch64", 4)])
def test_registers_are_set_for_one_call_more(machine: str, back: int) -> None:
    layout = registers.LAYOUTS[machine]
    saved = list(range(100, 100 + layout.words))
    changed = registers.for_call(saved, layout, 7, (1, 2, 3))
    assert saved == list(range(100, 100 + layout.words))
    assert changed[layout.counter] == saved[layout.counter] - back == saved[layout.counter] - len(layout.instruction)
    assert [changed[layout.number], *(changed[index] for index in layout.arguments[:3])] == [7, 1, 2, 3]
    touched = {layout.counter, layout.number, *layout.arguments[:3], layout.restart}
    assert [changed[n] for n in range(layout.words) if n not in touched] == [
        saved[n] for n in range(layout.words) if n not in touched
    ]


def test_a_filter_that_came_too_late_for_a_child_is_not_taken_for_its_own() -> None:
    """Another thread added it while the child was made: the kernel says how many the child has."""
    coverage = Coverage([(3, 3)], 2, written=[(1, 2)])
    coverage.add(7, 7)
    coverage.add(9, 9, writes_only=True)
    coverage.add(600, 600, whole=True)
    child = coverage.copy(filters=3)
    assert (child.filters, child.covers(7), child.covers_writes(9), child.covers(600), child.whole) == (
        3,
        True,
        False,
        False,
        False,
    )
    assert coverage.beyond(child) == [600, 9]
    assert (coverage.filters, coverage.covers(600), coverage.whole) == (5, True, True)
    same = coverage.copy()
    assert (same.filters, same.covers(600), coverage.beyond(same)) == (5, True, [])
    assert coverage.copy(filters=-1).filters == 2  # it is gone: nobody asks
