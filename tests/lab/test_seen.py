"""The comparison of recordings sees what tracers may get wrong, and only that."""

import re
from pathlib import Path

import pytest

from tests.lab.seen import Flow, Seen, Track, seen

RECORDING = """\
# systrace: {"format": 1, "tracer": "NAME"}
7 1.000 execve("/bin/job", ["job"], 0x7ffc12345678 /* 3 vars */) = 0 <0.1>
7 1.100 pipe2([5<pipe:[90]>, 6<pipe:[90]>], 0) = 0 <0.1>
7 1.100 clone(child_stack=NULL, flags=SIGCHLD) = 8 <0.1>
7 1.200 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[77]> <0.1>
7 1.300 connect(3<socket:[77]>, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("203.0.113.10")}, 16) = 0 <0.1>
7 1.400 write(3<socket:[77]>, "hello\\n", 6) = 6 <0.1>
7 1.500 read(3<socket:[77]>, "on", 4096) = 2 <0.1>
7 1.600 read(3<socket:[77]>, "ce"..., 4096) = 4 <0.1>
7 1.700 read(3<socket:[77]>, 0x7ffc12345000, 4096) = -1 ECONNRESET (Connection reset by peer) <0.1>
7 1.800 write(6<pipe:[90]>, "through", 7) = 7 <0.1>
7 1.800 write(2</dev/null>, "lost it\\n", 8) = 8 <0.1>
8 1.900 close(3<socket:[77]>) = 0 <0.1>
8 2.000 +++ exited with 3 +++
7 2.100 +++ exited with 0 +++
"""
SAME = {
    "other numbers of descriptors and inodes": (r"3<socket:\[77\]>", "9<socket:[5]>"),
    "other addresses": ("0x7ffc12345", "0x7ffd99999"),
    "other process numbers": (r"(?m)^8 |(?<== )8(?= )", "11 "),
    "bytes cut elsewhere": (r'"on", 4096\) = 2', '"o", 10) = 1 <0.1>\n7 1.500 read(3<socket:[77]>, "n", 1) = 1'),
    "more shown of what was cut off": (r'"ce"\.\.\.', '"cent"'),
    "asked in vain": (
        r"7 1\.500",
        "7 1.500 read(3<socket:[77]>, 0x7ffc12345000, 9) = -1 EAGAIN (Resource) <0.1>\n7 1.500",
    ),
}
DIFFERENT = {
    "a byte": ("hello", "hallo"),
    "a byte of the second piece": ('"ce"', '"cf"'),
    "a count": (r'"ce"\.\.\., 4096\) = 4', '"ce"..., 4096) = 5'),
    "an errno": ("ECONNRESET", "ECONNABORTED"),
    "a lost call": (r"(?m)^8 .*close.*\n", ""),
    "a call too many": (r"(?m)^(8 .*close.*\n)", r"\1\1"),
    "a status": ("exited with 3", "exited with 4"),
    "a lost process": (r"(?m)^8 .*\n", ""),
    "an address": (r"htons\(80\)", "htons(81)"),
    "words": ("lost it", "found it"),
    "bytes of a pipe": ("through", "between"),
    "another socket": (
        r"(?m)^(7 1\.100 pipe.*\n)",
        r"\g<1>7 1.150 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 9<socket:[99]> <0.1>\n",
    ),
}


def digested(folder: Path, name: str, text: str) -> Seen:
    """A recording of the tracer `name`."""
    path = folder / name
    path.write_text(re.sub(r"<0\.1>", "<0.000100>", text.replace("NAME", name)))
    return seen(path)


def changed(change: tuple[str, str]) -> str:
    """The recording after it."""
    text = re.sub(*change, RECORDING)
    assert text != RECORDING
    return text


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_differs_between_any_two_runs_is_no_difference(change: tuple[str, str], tmp_path: Path) -> None:
    """Numbers, cuts, vain attempts."""
    assert digested(tmp_path, "one", RECORDING).differences(digested(tmp_path, "other", changed(change))) == []


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT)
def test_what_a_tracer_may_get_wrong_is_a_difference(change: tuple[str, str], tmp_path: Path) -> None:
    """In either direction."""
    one, other = digested(tmp_path, "one", RECORDING), digested(tmp_path, "other", changed(change))
    assert one.differences(other)
    assert other.differences(one)


def test_pipes_are_left_out_where_a_tracer_says_that_it_leaves_them_out(tmp_path: Path) -> None:
    """By its own fact."""
    narrow = RECORDING.replace('"NAME"', '"NAME", "sockets_only": true').replace("through", "between")
    assert digested(tmp_path, "one", RECORDING).differences(digested(tmp_path, "other", narrow)) == []


def test_options_that_no_rule_reads_are_left_out_as_well() -> None:
    """The bytes around them are the same."""
    track, narrow = (Track(1, 2, "socket", [Flow("read", bytearray(b"a"))]) for _ in range(2))
    track.steps += ["setsockopt(FD, SOL_TCP, TCP_NODELAY, [1], 4) = 0", Flow("read", bytearray(b"b"))]
    track.steps += ["setsockopt(FD, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0", "ioctl(FD, FIONREAD, [3]) = 0"]
    narrow.steps = [Flow("read", bytearray(b"ab")), "setsockopt(FD, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0"]
    assert not track.like(narrow)
    assert track.narrowed().like(narrow)
