"""One conversation as text and as a hexdump; `blocks` and `hexdump` are tested through it."""

from __future__ import annotations

import gzip
import io
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systrace.errors import UsageError
from systrace.masking.masks import Masks
from systrace.reporters.layout import Layout
from systrace.reporters.views.follow import follow, is_text
from systrace.reporters.words.blocks import flow
from systrace.reporters.words.hexdump import hole, silence
from tests.reporters.spoken import CONNECT, Move, heard, log

ASK = b"GET /a?token=xyzzy HTTP/1.1\r\nHost: api.example\r\nAuthorization: Basic c2VjcmV0c2VjcmV0\r\n\r\n"


def shown(
    text: str, uid: str = "S1", limit: int = 8 << 20, *, hexdump: bool = False, show_secrets: bool = False
) -> list[str]:
    out = io.BytesIO()
    analysis, transcript = heard(text, uid, limit)
    analysis.evidence.masks = Masks(shown=show_secrets)
    follow(analysis, transcript, out, hexdump=hexdump, layout=Layout(200))
    return out.getvalue().decode().splitlines()


def moves() -> st.SearchStrategy[list[Move]]:
    """Calls in both directions, with holes."""
    data = st.one_of(st.binary(max_size=40), st.sampled_from([b"Cookie: a", b"\r\n", b"\x1b[2J", b"\xe2\x80\xae", ASK]))
    move = st.tuples(st.booleans(), data, st.sampled_from([0, 0, 0, 1, 500]))
    return st.lists(move.filter(lambda m: len(m[1]) + m[2] > 0), min_size=1, max_size=12)


def test_http_message_by_message() -> None:
    body = gzip.compress(b'{"password": "hunter2",\n\t"rows": 7}\n')
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nSet-Cookie: sid=7\r\n"
    answer = head + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + body[:5] + b"\r\n"
    rest = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 5, body[5:])
    lines = shown(log([(True, ASK, 0), (False, answer, 0), (False, rest, 0)], step=2))
    assert lines[0].startswith("S1: inet stream, 192.0.2.20:80; used by fetch[9];")
    assert lines[2] == "#1 > 1.000000 s  http request, line 4"
    assert lines[3:6] == [
        "> GET /a?token=*1*** HTTP/1.1",
        "> Host: api.example",
        "> Authorization: Basic *secret-2*******",
    ]
    assert lines[7] == "--- nothing for 2.0 s"
    assert re.match(
        r"#2 < 3\.0001\d\d s  http answer to #1, application/json, gzip, chunked, body of \d+ bytes, in 2\.0 s",
        lines[8],
    )
    assert "< Set-Cookie: *3***" in lines
    assert lines[lines.index("<") + 1 :][:2] == ['< {"password": "*4*****",', '<     "rows": 7}']
    assert lines[-2].endswith("end of data: the peer closed its side (line 7)")
    assert lines[-1].endswith("closed (close)")


def test_show_secrets() -> None:
    text = "\n".join(shown(log([(True, ASK, 0)]), show_secrets=True))
    assert "token=xyzzy" in text
    assert "Basic c2VjcmV0c2VjcmV0" in text


def test_a_body_with_a_hole() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n"
    lines = shown(log([(True, ASK, 0), (False, answer + b"first ", 14), (False, b"last\n" * 8, 0)]))
    assert any("body of 60 bytes, of which 46 are known" in line for line in lines)
    at = lines.index("< first")
    assert lines[at + 1].startswith("--- 14 bytes happened here and are not known")
    assert lines[at + 2] == "< last"


def test_a_message_that_was_cut_short_says_so() -> None:
    lines = shown(log([(True, ASK, 0), (False, b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nonly", 0)]))
    assert any(
        line.startswith("--- the connection ended before the message was whole: 4 of 60 bytes") for line in lines
    )


def test_heads_that_are_cut_are_shown_as_blocks() -> None:
    lines = shown(log([(True, ASK[:32], len(ASK) - 32), (False, b"HTTP/1.1 502 Bad Gateway\r\nServ", 300)]))
    assert lines[2] == f"#1 > 1.000000 s  sent {len(ASK)} bytes, of which 32 are known in 1 call, line 4"
    assert lines[3].startswith("--- http: GET /a")
    assert "< HTTP/1.1 502 Bad Gateway" in lines
    assert any(line.startswith("--- 300 bytes happened here and are not known") for line in lines)


def test_a_secret_in_two_calls_and_behind_a_hole_is_hidden() -> None:
    lines = shown(
        log([(True, b"PASS hun", 0), (False, b"ok\r\n", 0), (True, b"ter", 3), (True, b"2xyz\r\nQUIT\r\n", 0)])
    )
    text = "\n".join(lines)
    assert not re.search(r"hun|ter\b|2xyz", text)
    assert "> QUIT" in lines


def test_binary_is_not_shown_as_text() -> None:
    lines = shown(log([(True, bytes(range(256)), 0), (False, b"\0\1\2\3", 4)]))
    assert "--- 256 bytes, no text: --hex shows them" in lines
    assert "--- 4 bytes, no text: --hex shows them" in lines


def test_a_long_conversation_keeps_its_ends() -> None:
    said: list[Move] = [(at % 2 == 0, b"word %04d\n" % at, 0) for at in range(400)]
    lines = shown(log(said), limit=20_000)
    assert "> word 0000" in lines
    assert "< word 0399" in lines
    assert "> word 0200" not in lines
    left = [int(line.split()[1]) for line in lines if "bytes happened here and are not shown" in line]
    told = [line for line in lines if re.match(r"[<>] word \d{4}", line)]
    assert sum(left) + 10 * len(told) == 4000


def test_a_pipe_is_what_its_reader_read() -> None:
    start = (
        "9 1700000100.000000 pipe2([3, 4], 0) = 0 <0.00001>\n"
        "9 1700000100.100000 clone(child_stack=NULL, flags=SIGCHLD) = 10 <0.0001>\n"
        "9 1700000100.200000 close(3) = 0 <0.00001>\n"
        '9 1700000100.300000 write(4, "{\\"a\\": 1}", 8) = 8 <0.00001>\n'
        "10 1700000100.400000 close(4) = 0 <0.00001>\n"
        '10 1700000100.500000 read(3, "{\\"a\\": 1}", 4096) = 8 <0.00001>\n'
    )
    lines = shown(log([], closed=False, start=start), "P1")
    assert lines[0].startswith("P1: pipe, [9] -> [10]; 8 B written, 8 B read.")
    assert lines[2:4] == ["#1 < 0.500010 s  received 8 bytes in 1 call, line 6", '< {"a": 1}']
    unread = "".join(line + "\n" for line in start.splitlines()[:4])
    assert '> {"a": 1}' in shown(log([], closed=False, start=unread), "P1")


def test_unknown_and_silent_sockets_are_errors_that_name_the_others() -> None:
    text = log([(True, b"x", 0)])
    with pytest.raises(UsageError, match=r"no socket S7: this log has S1 \(192\.0\.2\.20:80, 1 B out, 0 B in\)"):
        shown(text, "S7")
    with pytest.raises(UsageError, match=r"name a conversation by --socket: this log has S1"):
        shown(text, "")
    with pytest.raises(UsageError, match=r"nothing went over S1"):
        shown(CONNECT)


@settings(max_examples=40, deadline=None)
@given(moves())
def test_a_hexdump_has_every_byte_at_its_offset(said: list[Move]) -> None:
    happened: dict[bool, dict[int, int]] = {True: {}, False: {}}
    offsets = {True: 0, False: 0}
    for sent, known, missing in said:
        happened[sent] |= {offsets[sent] + at: byte for at, byte in enumerate(known)}
        offsets[sent] += len(known) + missing
    found: dict[bool, dict[int, int]] = {True: {}, False: {}}
    for line in shown(log(said), hexdump=True, show_secrets=True):
        row = re.match(r"([<>]) ([0-9a-f]{8})  (.{48})  \|", line)
        if row:
            data = bytes.fromhex(row[3].replace(" ", ""))
            found[row[1] == ">"] |= {int(row[2], 16) + at: byte for at, byte in enumerate(data)}
    assert found == happened


@settings(max_examples=60, deadline=None)
@given(moves())
def test_no_terminal_obeys_what_is_shown(said: list[Move]) -> None:
    for hexdump in (False, True):
        for line in shown(log(said), hexdump=hexdump, show_secrets=True):
            assert line.isprintable()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, len(ASK) - 1), max_size=6), st.booleans())
def test_no_way_of_cutting_shows_a_secret(cuts: list[int], hexdump: bool) -> None:
    edges = [0, *sorted(set(cuts)), len(ASK)]
    said: list[Move] = [(True, ASK[a:b], 0) for a, b in pairwise(edges)]
    text = "\n".join(shown(log(said), hexdump=hexdump))
    assert "xyzzy" not in text
    assert "c2Vjc" not in text
    assert b"c2Vj".hex(" ") not in text


def test_what_is_text() -> None:
    assert is_text(b"")
    assert is_text("żółć\r\n\tx".encode())
    assert is_text("Käse ist gut".encode("latin-1"))
    assert not is_text(b"\x16\x03\x01\x02\x00\x01")
    assert not is_text(bytes(range(128, 256)))


def test_what_is_missing_is_said() -> None:
    assert silence(5_000_000_000, 7_500_000_000) == ["--- nothing for 2.5 s"]
    assert silence(5_000_000_000, 5_900_000_000) == silence(None, 5) == silence(5, None) == []
    assert hole(7).startswith("7 bytes happened here and are not known")
    assert hole(7, kept=False).startswith("7 bytes happened here and are not shown")


def test_blocks_have_the_offsets_of_all_that_happened() -> None:
    said: list[Move] = [(True, b"ab", 3), (False, b"x", 0), (True, b"cd", 0), (True, b"e", 0)]
    whole = flow(heard(log(said))[1], Masks())
    assert [(b.sent, b.offset, b.size, b.known, b.calls) for b in whole.blocks] == [
        (True, 0, 5, 2, 1),
        (False, 0, 1, 1, 1),
        (True, 5, 3, 3, 2),
    ]
    assert whole.data == (b"x", b"abcde")


def test_what_goes_on_behind_connect_is_not_left_out() -> None:
    ask, fine = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"
    body = b"\x03\x03" + bytes(32) + b"\0\0\2\x13\x01\1\0\0\0"
    handshake = b"\1" + len(body).to_bytes(3, "big") + body
    hello = b"\x16\x03\x01" + len(handshake).to_bytes(2, "big") + handshake
    lines = shown(log([(True, ask, 0), (False, fine, 0), (True, hello, 0)]))
    assert "> CONNECT a.example:443 HTTP/1.1" in lines
    assert any(line.startswith("--- tls: ") for line in lines)
    assert f"--- {len(hello)} bytes, no text: --hex shows them" in lines
