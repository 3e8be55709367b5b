"""FTP's control connection, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systrace.decoders.protocols.ftp import Ftp
from systrace.messages.replies import FtpReply, FtpRequest, Request, ServerError
from systrace.model import Endpoint, Message, Socket

Talk = Callable[..., list[Message]]
WELCOME = (False, b"220 ready\r\n", 0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"227 Entering Passive Mode (192,0,2,7,156,64).\r\n", Endpoint("inet", "192.0.2.7", 40000)),
        (b"227 =192,0,2,7,0,21\r\n", Endpoint("inet", "192.0.2.7", 21)),
        (b"229 Entering Extended Passive Mode (|||40001|)\r\n", Endpoint("inet6", "2001:db8::9", 40001)),
        (b"229 ok (!!!40001!)\r\n", Endpoint("inet6", "2001:db8::9", 40001)),
        (b"227 Entering Passive Mode (192,0,2,700,156,64).\r\n", None),
        (b"229 Entering Extended Passive Mode (|||99999|)\r\n", None),
        (b"200 (192,0,2,7,156,64)\r\n", None),
    ],
)
def test_where_the_client_shall_connect_to(talk: Talk, answer: bytes, expected: Endpoint | None) -> None:
    socket = Socket("S1", "inet6", "stream", role="client", peer=Endpoint("inet6", "2001:db8::9", 21))
    reply = talk(Ftp, [WELCOME, (True, b"PASV\r\n", 0), (False, answer, 0)], socket=socket)[-1]
    assert isinstance(reply, FtpReply)
    assert reply.data == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (b"PORT 192,0,2,7,4,1\r\n", Endpoint("inet", "192.0.2.7", 1025)),
        (b"EPRT |1|192.0.2.7|1025|\r\n", Endpoint("inet", "192.0.2.7", 1025)),
        (b"EPRT |2|2001:db8::7|1025|\r\n", Endpoint("inet6", "2001:db8::7", 1025)),
        (b"PORT 1,2,3\r\n", None),
    ],
)
def test_where_the_server_shall_connect_to(talk: Talk, command: bytes, expected: Endpoint | None) -> None:
    request = talk(Ftp, [WELCOME, (True, command, 0)])[-1]
    assert isinstance(request, FtpRequest)
    assert request.data == expected


def test_a_hole_in_the_address_tells_none(talk: Talk) -> None:
    reply = talk(Ftp, [WELCOME, (True, b"PASV\r\n", 0), (False, b"227 Entering Passive Mode (192,0,", 12)])[-1]
    assert isinstance(reply, FtpReply)
    assert reply.data is None
    assert reply.incomplete_reason == "clipped"


def test_a_transfer_has_two_replies(talk: Talk) -> None:
    said = [WELCOME, (True, b"RETR a\r\n", 0), (False, b"150 opening\r\n", 0)]
    request = talk(Ftp, said)[1]
    assert isinstance(request, Request)
    assert request.unanswered
    request = talk(Ftp, [*said, (False, b"226 done\r\n", 0)])[1]
    assert isinstance(request, Request)
    assert not request.unanswered


@pytest.mark.parametrize(
    "data",
    [b"421 There are too many connected users.\r\n", b"530 Sorry, the maximum number of clients\r\n"],
)
def test_refused_instead_of_a_greeting(talk: Talk, data: bytes) -> None:
    (error,) = talk(Ftp, [(False, data, 0)])
    assert isinstance(error, ServerError)


def test_lines_of_a_reply_may_look_like_replies(talk: Talk) -> None:
    said = [WELCOME, (True, b"STAT\r\n", 0), (False, b"211-status\r\n 530 not this\r\n530 nor this\r\n211 end\r\n", 0)]
    assert [m.summary for m in talk(Ftp, said)][2:] == ["211 status (+3 lines)"]


def test_tls_is_handed_over(talk: Talk) -> None:
    said = [WELCOME, (True, b"AUTH TLS\r\n", 0), (False, b"234 go\r\n", 0), (True, b"\x16\x03", 0)]
    assert [m.summary for m in talk(Ftp, said)][1:] == ["AUTH TLS", "234 go"]
    said = [WELCOME, (True, b"AUTH TLS\r\n", 0), (False, b"530 no\r\n", 0), (True, b"USER job\r\nPASS hush\r\n", 0)]
    assert [m.summary for m in talk(Ftp, said)][1:] == ["AUTH TLS", "530 no", "USER job", "PASS"]
