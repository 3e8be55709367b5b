"""Logs of one conversation, written as strace would."""

from __future__ import annotations

from collections.abc import Sequence

from systrace.model import Analysis, Input, Keep, Transcript
from systrace.pipeline import analyze

CONNECT = (
    '9 1700000100.000000 execve("/usr/bin/fetch", ["fetch"], 0x7ff /* 6 vars */) = 0 <0.0001>\n'
    "9 1700000100.010000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 4 <0.000010>\n"
    '9 1700000100.020000 connect(4, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.20")}, 16) = 0 '
    "<0.030000>\n"
)
Move = tuple[bool, bytes, int]  # sent?, known bytes, unknown ones that follow


def quoted(data: bytes) -> str:
    """As strace prints bytes that are not text."""
    return '"' + "".join(f"\\{byte:03o}" for byte in data) + '"'


def log(moves: Sequence[Move], *, step: float = 0.001, closed: bool = True, start: str = CONNECT) -> str:
    """A call for each move, and the end of data."""
    lines = [start]
    now = 1700000101.0
    for sent, known, missing in moves:
        size = len(known) + missing
        text = quoted(known) + ("..." if missing else "")
        call = f"sendto(4, {text}, {size}, 0, NULL, 0)" if sent else f"recvfrom(4, {text}, {size + 9}, 0, NULL, NULL)"
        lines.append(f"9 {now:.6f} {call} = {size} <0.000100>\n")
        now += step
    if closed:
        lines.append(f'9 {now:.6f} recvfrom(4, "", 99, 0, NULL, NULL) = 0 <0.000010>\n')
        lines.append(f"9 {now + 0.001:.6f} close(4) = 0 <0.000010>\n")
    return "".join([*lines, f"9 {now + 1:.6f} +++ exited with 0 +++\n"])


def heard(text: str, uid: str = "S1", limit: int = 8 << 20) -> tuple[Analysis, Transcript]:
    """The analysis of a log, and the transcript of one of its sockets."""
    transcript = Transcript(uid, limit)
    lines = text.encode("utf-8", "surrogateescape").splitlines(keepends=True)
    return analyze([Input("job.strace", lines)], keep=Keep(transcript=transcript)), transcript
