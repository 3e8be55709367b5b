"""No line takes more than linear time, whatever it is full of, and none raises."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.model import Input
from systrace.pipeline import analyze

FILLS = [" ", "(", ")", '"', "\\", '\\"', "<", "1<", "D<", "= ", "1", "[", "{", ":", "{fd=1<", "{fd=1, events=", "[1<",
         "si_pid=1", ", ", '{"log":', "0x", "<... ", ") = 1", "1 "]  # fmt: skip
LEAD = "1000 1700000000.000000 "
SHAPES = ["{}x", "[{}] read(3) = 0", LEAD + "{}", LEAD + "poll([{}], 1, 5) = 1 ([{}])", LEAD + "select(1, [{}], NULL, "
          "NULL, NULL) = 1 (in [{}])", LEAD + 'recvfrom(3, "{}MSG_) = 5', LEAD + "sendmsg(3, {{msg_iov={}, SCM_RIGHTS, "
          "{}}}) = 90000", LEAD + "--- SIGCHLD {} ---", LEAD + "epoll_ctl(3, EPOLL_CTL_ADD, {}) = 0",
          LEAD + "socketpair({}) = 0", LEAD + "read(3, {} <unfinished ...>"]  # fmt: skip


def seconds(shape: str, fill: str, size: int) -> float:
    """CPU time of one line of that size, with what makes it matter before it."""
    text = shape.format(*[fill * (size // len(fill))] * 2).encode()
    before = (LEAD + "socket(AF_INET, SOCK_STREAM, 0) = 3\n").encode()
    began = time.process_time()
    analyze([Input("log", [before, text + b"\n"])])
    return time.process_time() - began


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_line_takes_no_four_times_as_long(shape: str) -> None:
    """Only what takes long at all is measured against its double: noise is no growth."""
    for fill in FILLS:
        slow = seconds(shape, fill, 30_000)
        if slow < 0.1:
            continue
        ratio = min(seconds(shape, fill, 60_000) / max(seconds(shape, fill, 30_000), 0.001) for _ in range(3))
        assert ratio < 3.3, (fill, slow, ratio)


PIECES = st.sampled_from([
    b"7 1700000000.000001 ", b"[pid 12] ", b"read(3, ", b"connect(3, {sa_family=AF_INET, sin_port=htons(1), ",
    b'sin_addr=inet_addr("1.2.3.4")}, 16)', b") = 5\n", b") = -1 EAGAIN (x)\n", b" <unfinished ...>\n", b"<... ",
    b"read resumed>", b'"', b"\\", b"\n", b"+++ exited with 0 +++\n", b"--- SIGTERM {si_pid=1} ---\n", b"clone(", b"= ",
    b"socket(AF_INET, SOCK_STREAM, 0) = 3\n", b"close(3) = 0\n", b"Process 12 attached\n", b"\x1b[0m", b"\0", b"\xff",
    b"poll([{fd=3, events=POLLIN}], 1, 5) = 1 ([{fd=3, revents=POLLIN}])\n", b'# systrace: {"snapshot": {}}\n',
    b"epoll_wait(4, [{events=EPOLLIN, data={u32=3, u64=3}}], 1, -1) = 1\n", b"dup2(3, 4) = 4\n", b"fork() = 12\n",
    b"sendmsg(3, {msg_iov=[{iov_base=\"\", iov_len=1}], cmsg_type=SCM_RIGHTS, cmsg_data=[3]}, 0) = 1\n",
])  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.lists(st.one_of(PIECES, st.binary(max_size=12)), max_size=40))
def test_any_bytes_give_an_answer(pieces: list[bytes]) -> None:
    """Through all stages, without an exception."""
    answer = analyze([Input("log", b"".join(pieces).splitlines(keepends=True))])
    assert answer.verdict.outcome in ("failed", "hung", "degraded", "healthy", "inconclusive")
