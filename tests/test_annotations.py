"""What -y and -yy print behind descriptors (strace-format 6.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systrace.annotations import note_inode, note_inodes, note_of, note_socket, without_notes
from systrace.model import Endpoint

A, B = Endpoint("inet", "1.1.1.1", 1), Endpoint("inet", "2.2.2.2", 2)


@pytest.mark.parametrize(
    ("args", "note"),
    [
        (b"5<TCP:[1.1.1.1:1->2.2.2.2:2]>, 1", b"TCP:[1.1.1.1:1->2.2.2.2:2]"), (b"5<socket:[7]>", b"socket:[7]"),
        (b"0</dev/pts/0<char 136:0>>, x", b"/dev/pts/0<char 136:0>"), (b"5, <x>", b""), (b"5", b""), (b"5<cut", b""),
    ],
)  # fmt: skip
def test_the_note_of_the_first_descriptor(args: bytes, note: bytes) -> None:
    """Trap 18: an arrow is no end, and one level nests."""
    assert note_of(args) == note


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (b"socket:[7794]", ("unknown", "unknown", None, None)), (b"TCP:[7794]", ("inet", "stream", None, None)),
        (b"TCP:[1.1.1.1:1]", ("inet", "stream", A, None)), (b"TCP:[1.1.1.1:1->2.2.2.2:2]", ("inet", "stream", A, B)),
        (b"UDP:[1.1.1.1:1->2.2.2.2:2]", ("inet", "dgram", A, B)),
        (b"TCPv6:[[::1]:1->[::1]:2]",
         ("inet6", "stream", Endpoint("inet6", "::1", 1), Endpoint("inet6", "::1", 2))),
        (b"TCPv6:[::1:1->::1:2]", ("inet6", "stream", Endpoint("inet6", "::1", 1), Endpoint("inet6", "::1", 2))),
        (b'UNIX-STREAM:[1->2,"/run/x"]', ("unix", "stream", None, Endpoint("unix", path="/run/x"))),
        (b'UNIX:[1->2,@"x"]', ("unix", "stream", None, Endpoint("unix", path="@x"))),
        (b"UNIX-DGRAM:[1]", ("unix", "dgram", None, None)), (b"(null):[1->2]", ("unix", "stream", None, None)),
        (b"NETLINK:[ROUTE:77]", ("netlink", "raw", None, None)), (b"/etc/passwd", None), (b"pipe:[9]", None),
        (b"anon_inode:[eventpoll]", None), (b"TCP:[1.1.1.1:99999999]", ("inet", "stream", None, None)),
    ],
)  # fmt: skip
def test_sockets(note: bytes, expected: object) -> None:
    """Every kind of every version."""
    assert note_socket(note) == expected


@pytest.mark.parametrize(
    ("note", "inode"),
    [(b"socket:[7]", 7), (b"TCP:[7]", 7), (b"UNIX-STREAM:[7->8]", 7), (b"(null):[7->8]", 7), (b"pipe:[9]", 9),
     (b"TCP:[1.1.1.1:1]", None), (b"NETLINK:[ROUTE:77]", None), (b"/x", None)],
)  # fmt: skip
def test_inodes(note: bytes, inode: int | None) -> None:
    """Only where strace had nothing better to print."""
    assert note_inode(note) == inode


def test_a_text_without_notes() -> None:
    """Nothing but the descriptors' own numbers is left."""
    text = b"[4<TCP:[127.0.0.1:5->1.2.3.4:80]> 0</dev/pts/0<char 136:0>> 7]"
    assert without_notes(text) == b"[4 0 7]"


@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    """Nothing raises."""
    for note in (data, b"TCP:[" + data + b"]", b"UNIX:[1," + data + b"]", b"socket:[" + data):
        note_of(b"3<" + note)
        note_socket(note)
        note_inode(note)
        without_notes(b"3<" + note)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (b"AF_UNIX, SOCK_STREAM, 0, [3<UNIX-STREAM:[7->8]>, 4<UNIX-STREAM:[8->7]>]", (7, 8)),
        (b"AF_UNIX, SOCK_STREAM, 0, [3<socket:[7]>, 4<socket:[8]>]", (7, 8)), (b"[3<pipe:[9]>, 4<pipe:[9]>]", (9, 9)),
        (b"[3, 4]", ()), (b"[3</dev/null>, 4<cut", ()),
    ],
)  # fmt: skip
def test_the_inodes_of_a_pair(args: bytes, expected: tuple[int, ...]) -> None:
    assert note_inodes(args) == expected
