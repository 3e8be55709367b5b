"""A packed, chunked answer through pipes: `curl --compressed | jq`, `curl | gunzip | jq`."""

from __future__ import annotations

import gzip

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze

GOOD = b'{"rows": [1, 2, 13], "text": "' + bytes(range(97, 123)) * 40 + b'"}\n'
BAD = GOOD.replace(b"2, 13", b"2,, 13")
COMPLAINT = b"jq: parse error: Expected value before ',' at line 1, column 17\n"


def quoted(data: bytes) -> str:
    return '"' + "".join(f"\\{byte:03o}" for byte in data) + '"'


def chunked(body: bytes, size: int) -> bytes:
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def packed(content: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunked(gzip.compress(content, mtime=0), 50)


class Log:
    """Lines of several processes, a millisecond apart."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def call(self, pid: int, text: str) -> None:
        self.lines.append(
            b"%d 17000010%02d.%03d000 %s\n" % (pid, len(self.lines) // 50, len(self.lines) % 50, text.encode())
        )

    def program(self, pid: int, words: list[str], stdin: int | None, stdout: int | None) -> None:
        """Its start, with pipes made in the shell (1) as standard input and output."""
        self.call(1, f"clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = {pid} <0.0001>")
        for wanted, fd in ((0, stdin), (1, stdout)):
            if fd is not None:
                self.call(pid, f"dup2({fd}, {wanted}) = {wanted} <0.0001>")
        for fd in (3, 4, 5, 6):
            self.call(pid, f"close({fd}) = 0 <0.0001>")
        argv = ", ".join(f'"{word}"' for word in words)
        self.call(pid, f'execve("/usr/bin/{words[0]}", [{argv}], 0x7ff /* 9 vars */) = 0 <0.001>')

    def moves(self, pid: int, call: str, fd: int, data: bytes, step: int) -> None:
        for at in range(0, len(data), step):
            part = data[at : at + step]
            self.call(pid, f"{call}({fd}, {quoted(part)}, {len(part)}) = {len(part)} <0.0001>")

    def curl(self, pid: int, accepts: str, answer: bytes, step: int) -> None:
        address = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}'
        self.call(pid, "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>")
        self.call(pid, f"connect(3, {address}, 16) = 0 <0.001>")
        ask = f"GET /rows HTTP/1.1\r\nHost: api.example\r\nUser-Agent: curl/7.88.1\r\n{accepts}\r\n".encode()
        self.call(pid, f"sendto(3, {quoted(ask)}, {len(ask)}, 0, NULL, 0) = {len(ask)} <0.0001>")
        for at in range(0, len(answer), step):
            part = answer[at : at + step]
            self.call(pid, f"recvfrom(3, {quoted(part)}, 16384, 0, NULL, NULL) = {len(part)} <0.001>")

    def ends(self, pid: int, status: int) -> None:
        self.call(pid, f"exit_group({status}) = ?")
        self.call(pid, f"+++ exited with {status} +++")

    def judged(self) -> Analysis:
        return analyze([Input("job.strace", self.lines)])


def jq(log: Log, pid: int, content: bytes) -> None:
    log.moves(pid, "read", 0, content, 4096)
    log.call(pid, 'read(0, "", 4096) = 0 <0.0001>')
    if content != GOOD:
        log.call(pid, f"write(2, {quoted(COMPLAINT)}, {len(COMPLAINT)}) = {len(COMPLAINT)} <0.0001>")
    log.ends(pid, 0 if content == GOOD else 2)


def compressed_job(content: bytes, step: int) -> Analysis:
    log = Log()
    log.call(1, "pipe2([3, 4], 0) = 0 <0.0001>")
    log.program(10, ["curl", "--compressed", "http://api.example/rows"], None, 4)
    log.program(11, ["jq", ".rows"], 3, None)
    log.curl(10, "Accept-Encoding: deflate, gzip\r\n", packed(content), step)
    log.moves(10, "write", 1, content, 700)
    log.ends(10, 0)
    jq(log, 11, content)
    log.ends(1, 0 if content == GOOD else 2)
    return log.judged()


def gunzip_job(content: bytes, step: int) -> Analysis:
    log = Log()
    log.call(1, "pipe2([3, 4], 0) = 0 <0.0001>")
    log.call(1, "pipe2([5, 6], 0) = 0 <0.0001>")
    log.program(10, ["curl", "http://api.example/rows"], None, 4)
    log.program(11, ["gunzip"], 3, 6)
    log.program(12, ["jq", ".rows"], 5, None)
    log.curl(10, "", packed(content), step)
    raw = gzip.compress(content, mtime=0)
    log.moves(10, "write", 1, raw, 64)
    log.ends(10, 0)
    log.moves(11, "read", 0, raw, 4096)
    log.moves(11, "write", 1, content, 512)
    log.ends(11, 0)
    jq(log, 12, content)
    log.ends(1, 0 if content == GOOD else 2)
    return log.judged()


@pytest.mark.parametrize("step", [1, 37, 16384])
@pytest.mark.parametrize("job", [compressed_job, gunzip_job])
def test_what_was_unpacked_is_judged_not_that_it_was_packed(job: object, step: int) -> None:
    assert callable(job)
    healthy = job(GOOD, step)
    assert (healthy.verdict.outcome, healthy.verdict.peer) == ("healthy", None)
    failed = job(BAD, step)
    assert (failed.verdict.outcome, failed.verdict.cause) == ("failed", "invalid-json")
    assert failed.verdict.peer == "192.0.2.7:80"
    assert "jq[" in failed.verdict.headline
