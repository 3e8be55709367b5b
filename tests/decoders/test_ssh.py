"""SSH in clear, by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from systrace.decoders.protocols.ssh import Ssh
from systrace.messages.replies import Greeting, Reply, ServerError
from systrace.model import Message

Talk = Callable[..., list[Message]]
BANNERS = [(True, b"SSH-2.0-Go\r\n", 0), (False, b"SSH-2.0-OpenSSH_9.2p1\r\n", 0)]


def packet(payload: bytes) -> bytes:
    """A packet in clear with four bytes of padding."""
    return struct.pack(">IB", len(payload) + 5, 4) + payload + bytes(4)


def kexinit(*lists: bytes) -> bytes:
    """What one side offers: key exchange, host keys, ciphers in either direction."""
    every = [*lists, *([b"none"] * (10 - len(lists)))]
    return packet(b"\x14" + bytes(16) + b"".join(struct.pack(">I", len(one)) + one for one in every) + bytes(5))


@pytest.mark.parametrize("line", [b"Exceeded MaxStartups\r\n", b"Not allowed at this time\n"])
def test_refused_instead_of_a_banner(talk: Talk, line: bytes) -> None:
    error = talk(Ssh, [BANNERS[0], (False, line, 0)])[-1]
    assert isinstance(error, ServerError)
    assert error.text == line.decode().strip()
    assert Ssh.identify(b"SSH-2.0-Go\r\n", line) >= 90


def test_a_banner_may_be_cut(talk: Talk) -> None:
    for data, missing, how in ((b"SSH-2.0-Open", 0, "eof"), (b"SSH-2.0-Open", 9, "clipped")):
        banner = talk(Ssh, [(False, data, missing), (False, b"SSH", 0)][: 1 + bool(missing)])[0]
        assert isinstance(banner, Greeting)
        assert banner.text == "SSH-2.0-Open"
        assert banner.complete is (how == "clipped")


@pytest.mark.parametrize(
    ("ours", "theirs", "what"),
    [
        ((b"a,b", b"k", b"c", b"c"), (b"b", b"k", b"c", b"c"), ""),
        ((b"a", b"k", b"c", b"c"), (b"b", b"k", b"c", b"c"), "no common key exchange"),
        ((b"a", b"rsa", b"c", b"c"), (b"a", b"dss", b"c", b"c"), "no common host key"),
        ((b"a", b"k", b"c", b"d"), (b"a", b"k", b"c", b"e"), "no common cipher"),
    ],
)
def test_offers_are_compared(talk: Talk, ours: tuple[bytes, ...], theirs: tuple[bytes, ...], what: str) -> None:
    messages = talk(Ssh, [*BANNERS, (True, kexinit(*ours), 0), (False, kexinit(*theirs), 0)])
    assert [m.text for m in messages if isinstance(m, ServerError)] == ([what] if what else [])


def test_nothing_is_read_after_new_keys(talk: Talk) -> None:
    said = [*BANNERS, (False, packet(b"\x15") + b"\xff" * 999, 0), (True, packet(b"\x15") + b"\x01" * 99, 0)]
    messages = talk(Ssh, said)
    assert [m.summary for m in messages][2:] == ["new keys: encrypted from here on"] * 2
    assert all(m.complete for m in messages)


def test_a_disconnect_of_the_client_is_no_error_of_the_server(talk: Talk) -> None:
    text = b"\x01" + struct.pack(">II", 11, 3) + b"bye" + bytes(4)
    assert isinstance(talk(Ssh, [*BANNERS, (False, packet(text), 0)])[-1], ServerError)
    last = talk(Ssh, [*BANNERS, (True, packet(text), 0)])[-1]
    assert isinstance(last, Reply)
    assert not isinstance(last, ServerError)


def test_a_key_exchange_that_breaks_off(talk: Talk) -> None:
    last = talk(Ssh, [*BANNERS, (False, kexinit(b"a", b"k", b"c", b"c")[:20], 0)], "reset")[-1]
    assert last.summary == "answer: 20 of 99 bytes"
    assert not last.complete


def test_lines_before_the_banner(talk: Talk) -> None:
    messages = talk(Ssh, [(False, b"be welcome\r\nSSH-2.0-x\r\n", 0)])
    assert [type(m) for m in messages] == [Reply, Greeting]


def test_a_hidden_banner_is_not_made_up(talk: Talk) -> None:
    said = [(False, b"", 9), (False, b"H_9.2p1\r\n", 0), (False, kexinit(b"a", b"k", b"c", b"c"), 0)]
    assert [m.summary for m in talk(Ssh, said)] == ["offers a, c"]


def test_encrypted_packets_behind_a_hole_are_no_broken_ones(talk: Talk) -> None:
    """Encrypt-then-MAC and AES-GCM leave the length clear: what follows it may look like any kind of packet."""
    banner = b"SSH-2.0-OpenSSH_9.2\r\n"
    like_new_keys = b"\0\0\0\x7c\x0a" + bytes([21]) + bytes(range(138, 138 + 90)) * 2
    like_an_offer = b"\0\0\0\x7c\x0a" + bytes([20]) + bytes(range(130, 130 + 90)) * 2
    for packet_like in (like_new_keys, like_an_offer):
        said = [(True, banner, 0), (False, banner[:8], 13 + 900), (False, packet_like[:128], 0)]
        messages = talk(Ssh, [*said, (False, b"\0\0\0\x7c\xff" + packet_like[5:128], 0)])
        assert not [message for message in messages if getattr(message, "notable", False)]
