"""Bytes that moved within the kernel: counted on both sides, known on none, and nobody is accused of their absence."""

from __future__ import annotations

import pytest

from systrace.model import Analysis, Input, Keep, Socket, Transcript
from systrace.pipeline import analyze

_ADDRESS = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16'
_OPEN = [
    "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>",
    f"connect(3, {_ADDRESS}) = 0 <0.001>",
    "pipe2([4, 5], 0) = 0 <0.0001>",
    'sendto(3, "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 27, 0, NULL, 0) = 27 <0.0001>',
]
_HEAD = 'read(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 6000\\r\\n\\r\\n{\\"a\\":", 46) = 46 <0.001>'  # 41 of head, 5 of body
_FAIL = "splice(3, NULL, 5, NULL, 65536, SPLICE_F_MOVE) = -1 %s (...) <0.0001>"
_MOVE = "splice(3, NULL, 5, NULL, 65536, SPLICE_F_MOVE) = 5995 <0.0001>"
_DONE = ["close(3) = 0 <0.0001>"]


def job(*calls: str, end: str = "+++ exited with 0 +++") -> tuple[Analysis, Transcript]:
    lines = [f"9 {1700001000 + at}.000000 {call}\n".encode() for at, call in enumerate([*_OPEN, *calls, end])]
    transcript = Transcript("P1")
    return analyze([Input("job.strace", lines)], keep=Keep(transcript=transcript)), transcript


def pipe(transcript: Transcript) -> Socket:
    return transcript.seen["P1"]


def test_counts_go_through_a_pipe_and_a_tee_takes_nothing_from_it() -> None:
    found, transcript = job(
        _HEAD,
        _MOVE,
        "tee(4, 7, 65536, 0) = 5995 <0.0001>",
        "splice(4, NULL, 1, NULL, 65536, 0) = 5995 <0.0001>",
        *_DONE,
    )
    assert found.verdict.outcome == "healthy"
    assert (pipe(transcript).sent.original_len, pipe(transcript).received.original_len) == (5995, 5995)
    socket = found.evidence.sockets["S1"]
    assert socket.received.original_len == 46 + 5995
    (answer,) = [message for message in found.evidence.messages if message.direction == "received"]
    assert answer.complete
    assert [len(known) for known, _ in answer.body.parts] == [5]  # type: ignore[attr-defined]
    assert answer.body.gaps == [(5, 5995)]  # type: ignore[attr-defined]


def test_what_was_spliced_to_an_output_is_part_of_it_and_unknown() -> None:
    found, _ = job(_HEAD, _MOVE, "splice(4, NULL, 1, NULL, 65536, 0) = 5995 <0.0001>", *_DONE)
    (output,) = found.evidence.processes[9].output
    assert (output.fd, output.data, output.event.size) == (1, b"", 5995)


@pytest.mark.parametrize("errno", ["EINVAL", "EPIPE", "ENOSYS", "EAGAIN"])
def test_the_peer_is_not_accused_of_an_error_of_the_other_end(errno: str) -> None:
    found, _ = job(_FAIL % errno, *_DONE)
    assert not [fault for fault in found.evidence.sockets["S1"].faults if fault.kind == "error"]


def test_a_reset_that_a_splice_meets_is_one_of_the_socket() -> None:
    found, _ = job(_FAIL % "ECONNRESET", "close(3) = 0 <0.0001>", end="+++ exited with 1 +++")
    assert found.verdict.cause == "reset-by-peer"


def test_the_end_that_a_splice_meets_is_one_of_the_socket() -> None:
    found, _ = job(_HEAD, "splice(3, NULL, 5, NULL, 65536, 0) = 0 <0.0001>", *_DONE, end="+++ exited with 1 +++")
    assert found.verdict.cause == "truncated-response"


def test_who_reads_an_empty_pipe_into_a_socket_waits_for_the_pipe() -> None:
    found, _ = job("splice(4, NULL, 3, NULL, 65536, 0 <unfinished ...>", end="+++ killed by SIGTERM +++")
    assert found.verdict.cause != "send-blocked"
    found, _ = job("splice(3, NULL, 5, NULL, 65536, 0 <unfinished ...>", end="+++ killed by SIGTERM +++")
    assert found.verdict.cause == "hung-read"
    wrote = 'write(5, "abc", 3) = 3 <0.0001>'
    found, _ = job(wrote, "splice(4, NULL, 3, NULL, 65536, 0 <unfinished ...>", end="+++ killed by SIGTERM +++")
    assert found.verdict.cause == "send-blocked"


def test_descriptors_that_only_notes_tell_are_counted() -> None:
    line = (
        b"9 1700001000.000000 splice(3<TCP:[10.0.0.1:5->192.0.2.7:80]>, NULL, 7<pipe:[77]>, NULL, 9, 0) = 9 <0.0001>\n"
    )
    transcript = Transcript("P1")
    found = analyze([Input("job.strace", [line])], keep=Keep(transcript=transcript))
    (socket,) = [each for each in found.evidence.sockets.values() if each.kind == "socket"]
    assert (str(socket.peer), socket.received.original_len) == ("192.0.2.7:80", 9)
    assert sum(each.sent.original_len for each in transcript.seen.values() if each.kind == "pipe") == 9
