"""The bytes that a parser was given come out as they were."""

from __future__ import annotations

import gzip
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.errors import UsageError
from systrace.reporters.views.saved_body import SavedBody, saved_body
from tests.reporters.spoken import Move, heard, log

ASK = b"GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def written(text: str, number: int | None = None, uid: str = "S1") -> tuple[bytes, SavedBody]:
    body = saved_body(heard(text, uid)[1], number)
    with tempfile.TemporaryFile() as out:  # holes are a matter of files
        body.write(out)
        out.seek(0)
        return out.read(), body


def answer(body: bytes, *, coded: bool, chunk: int) -> bytes:
    """A response; chunk 0 for Content-Length."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    if coded:
        head += b"Content-Encoding: gzip\r\n"
        body = gzip.compress(body)
    if not chunk:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in chunks)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


@settings(max_examples=50, deadline=None)
@given(
    st.binary(min_size=1, max_size=400), st.booleans(), st.sampled_from([0, 1, 7, 100]), st.lists(st.integers(1, 90))
)
def test_exact_bytes_however_they_came(body: bytes, coded: bool, chunk: int, cuts: list[int]) -> None:
    whole = answer(body, coded=coded, chunk=chunk)
    said: list[Move] = [(True, ASK, 0)]
    for cut in [*cuts, len(whole)]:
        if whole:
            said.append((False, whole[:cut], 0))
            whole = whole[cut:]
    data, saved = written(log(said))
    assert data == body
    assert not saved.gaps


def test_the_last_answer_or_the_one_asked_for() -> None:
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
    one, two = answer(b"one", coded=False, chunk=0), answer(b"two", coded=False, chunk=2)
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"
    text = log([(True, post, 0), (False, one, 0), (True, ASK, 0), (False, two, 0), (True, ASK, 0), (False, empty, 0)])
    assert written(text)[0] == b"two"
    assert written(text, 1)[0] == b"body"
    assert written(text, 2)[0] == b"one"
    with pytest.raises(UsageError, match="#6 has no body"):
        written(text, 6)
    with pytest.raises(UsageError, match="no message #7: this conversation has 6"):
        written(text, 7)


def test_a_coding_that_nobody_asked_for_stays() -> None:
    text = log([(True, PLAIN, 0), (False, answer(b"{}", coded=True, chunk=0), 0)])
    data, saved = written(text)
    assert gzip.decompress(data) == b"{}"
    assert "still gzip: its request did not ask for that" in saved.summary()


def test_a_damaged_coding_stays() -> None:
    whole = answer(b"{}" * 50, coded=True, chunk=0)
    damaged = whole[:-12] + b"\xff" * 12
    data, saved = written(log([(True, ASK, 0), (False, damaged, 0)]))
    assert data == damaged.partition(b"\r\n\r\n")[2]
    assert "still gzip: it cannot be undone" in saved.summary()


def test_holes_are_zeros_and_told() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"
    data, saved = written(log([(True, ASK, 0), (False, head + b"first", 10), (False, b"last", 1)]))
    assert data == b"first" + bytes(10) + b"last\0"
    assert saved.gaps == [(5, 10), (19, 1)]
    assert "11 of them are not known (strace -s): zeros stand in their place, at 5-14, 19-19" in saved.summary()


def test_other_protocols_give_the_bytes_of_a_block() -> None:
    text = log([(True, b"\x01ask", 0), (False, b"\x02an", 0), (False, b"swer", 0), (True, b"\x01bye", 0)])
    assert written(text)[0] == b"\x02answer"
    assert written(text, 3)[0] == b"\x01bye"


def test_without_the_head_nobody_can_tell_where_the_body_begins() -> None:
    text = log([(True, ASK[:20], 60), (False, b"HTTP/1.1 200 OK\r\nCont", 500)])
    with pytest.raises(UsageError, match="record it again with -s 65536"):
        written(text)
    assert written(text, 2)[0] == b"HTTP/1.1 200 OK\r\nCont" + bytes(500)
    with pytest.raises(UsageError, match="no block #3"):
        written(text, 3)


def test_a_body_larger_than_what_parse_keeps_is_whole() -> None:
    body = bytes(range(256)) * 3000
    whole = answer(body, coded=False, chunk=0)
    said: list[Move] = [(True, ASK, 0), *((False, whole[at : at + 60_000], 0) for at in range(0, len(whole), 60_000))]
    assert written(log(said))[0] == body


def cut_calls(whole: bytes, step: int, known: int) -> list[Move]:
    """As strace -s prints calls of so many bytes."""
    calls = [whole[at : at + step] for at in range(0, len(whole), step)]
    return [(False, call[:known], max(0, len(call) - known)) for call in calls]


def test_a_hole_over_a_chunk_header_leaves_the_exact_beginning_and_says_so() -> None:
    body = bytes(range(256)) * 1000
    whole = answer(body, coded=False, chunk=8192)
    text = log([(True, ASK, 0), *cut_calls(whole, 16384, 4096)])
    data, saved = written(text)
    head = whole.index(b"2000\r\n") + 6
    assert saved.size == 8192
    assert data == body[: 4096 - head] + bytes(8192 - 4096 + head)
    assert "ONLY ITS FIRST 8192 bytes" in saved.summary()
    assert "strace -s cut the framing" in saved.summary()
    message = heard(text, "S1")[1].messages[-1]
    assert message.summary.startswith("200")
    assert message.body.size == "at least 8192 bytes"  # type: ignore[attr-defined]


def test_holes_that_spare_the_chunk_headers_leave_every_offset_right() -> None:
    body = bytes(range(256)) * 100
    whole = answer(body, coded=False, chunk=1600)
    head = whole.index(b"\r\n\r\n") + 4
    moves: list[Move] = [(True, ASK, 0), (False, whole[:head], 0)]
    at = head
    while at < len(whole):  # a read for each chunk, as its header begins it
        line = whole.index(b"\r\n", at) + 2
        end = line + int(whole[at : line - 2], 16) + 2
        moves.append((False, whole[at:end][:1000], max(0, end - at - 1000)))
        at = end
    data, saved = written(log(moves))
    assert saved.size == len(data) == len(body)
    assert not saved.lost
    offset = 0
    for start, length in saved.gaps:
        assert data[offset:start] == body[offset:start]
        assert data[start : start + length] == bytes(length)
        offset = start + length


def test_a_hole_over_the_first_chunk_header_leaves_nothing_to_save() -> None:
    whole = answer(b"x" * 5000, coded=False, chunk=5000)
    head = whole.index(b"\r\n\r\n") + 4
    with pytest.raises(UsageError, match="cannot be put together"):
        written(log([(True, ASK, 0), *[(False, whole[:head], len(whole) - head)]]))
