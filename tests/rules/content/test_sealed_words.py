"""The words of a program that failed of an answer within TLS count where the connection bears them out."""

from __future__ import annotations

import pytest

from tests.rules.case.test_sealed import asked, cause_of, moves, record
from tests.rules.http_job import blamed, connect, judged, left

_CLOSE = "9 1.7 close(3) = 0 <0.0001>"
_END = '9 1.6 recvfrom(3, "", 5, 0, NULL, NULL) = 0 <0.0001>'
_FAREWELL = moves(1.6, record(19))  # sealed: its size and place tell
_TICKETS, _ANSWER = (250, 250), (250, 250, 9100)
_EMPTY = "curl: (52) Empty reply from server"
_CUT = "curl: (18) transfer closed with 41000 bytes remaining to read"
_STATUS = "curl: (22) The requested URL returned error: 503"


def says(text: str, time: float = 1.8) -> str:
    """One write to the error channel."""
    data = text.encode() + b"\n"
    return (
        f'9 {time} write(2, "{"".join(f"{chr(92)}{byte:03o}" for byte in data)}", {len(data)}) = {len(data)} <0.0001>'
    )


@pytest.mark.parametrize("end", [_END, _FAREWELL])
@pytest.mark.parametrize(
    "words",
    [
        _EMPTY,
        "requests.exceptions.ConnectionError: ('Connection aborted.', RemoteDisconnected('Remote end closed connection "
        "without response'))",
        "aiohttp.client_exceptions.ServerDisconnectedError: Server disconnected",
        "httpx.RemoteProtocolError: Server disconnected without sending a response.",
        "Exception in thread \"main\" java.io.IOException: HTTP/1.1 header parser received no bytes\n"
        "\tat java.net.http/jdk.internal.net.http.HttpClientImpl.send(HttpClientImpl.java:586)\n"
        "Caused by: java.io.EOFException: EOF reached while reading",
        "Error: socket hang up\n    at TLSSocket.socketOnEnd (node:_http_client:526:23)",
        "TypeError: fetch failed\n    at fetch\n  [cause]: SocketError: other side closed",
        '2024/05/01 10:00:00 Get "https://a.example/1": EOF',
        "500 Server closed connection without sending any data back at x.pl line 3.",
    ],
)  # fmt: skip
def test_no_answer(words: str, end: str) -> None:
    analysis = judged(*asked(*_TICKETS), end, _CLOSE, says(words), left(9, 1.9, 1))
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant, finding.confidence) == ("empty-reply", "tls", "likely")
    assert finding.peer == "192.0.2.7:443"


@pytest.mark.parametrize("end", [_END, _FAREWELL])
@pytest.mark.parametrize(
    "words",
    [
        _CUT,
        "curl: (18) HTTP/2 stream 1 was not closed cleanly before end of the underlying stream",
        "requests.exceptions.ChunkedEncodingError: ('Connection broken: IncompleteRead(9000 bytes read, 41000 more "
        "expected)', IncompleteRead(9000 bytes read, 41000 more expected))",
        "httpx.RemoteProtocolError: peer closed connection without sending complete message body (received 9 bytes, "
        "expected 20)",
        "aiohttp.client_exceptions.ClientPayloadError: 400, message='Not enough data to satisfy content length header.'",
        "Exception in thread \"main\" java.io.IOException: fixed content-length: 50000, bytes received: 9000\n"
        "Caused by: java.io.EOFException: EOF reached while reading",
        "TypeError: terminated\n    at Fetch.onAborted\n  [cause]: SocketError: other side closed",
        "panic: unexpected EOF",
    ],
)  # fmt: skip
def test_a_part_of_one(words: str, end: str) -> None:
    analysis = judged(*asked(*_ANSWER), end, _CLOSE, says(words), left(9, 1.9, 1))
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant, finding.confidence) == ("truncated-response", "tls", "likely")
    assert finding.peer == "192.0.2.7:443"


@pytest.mark.parametrize(
    "words",
    [
        _STATUS,
        "2024-05-01 10:00:00 ERROR 503: Service Unavailable.",
        "urllib.error.HTTPError: HTTP Error 503: Service Unavailable",
        "requests.exceptions.HTTPError: 503 Server Error: Service Unavailable for url: https://a.example/1",
        "httpx.HTTPStatusError: Server error '503 Service Unavailable' for url 'https://a.example/1'",
        "aiohttp.client_exceptions.ClientResponseError: 503, message='Service Unavailable', url='https://a.example/1'",
        "java.io.IOException: Server returned HTTP response code: 503 for URL: https://a.example/1",
        "AxiosError: Request failed with status code 503",
        "panic: unexpected status: 503",
        'x.rb:3:in `value\': 503 "Service Unavailable" (Net::HTTPFatalError)',
        "PHP Warning: file_get_contents(): Failed to open stream: HTTP request failed! HTTP/1.1 503 Service Unavailable",
        "503 Service Unavailable at x.pl line 3.",
    ],
)
def test_an_error_status(words: str) -> None:
    """The connection was kept: no end is due. A parser that choked is not the cause."""
    analysis = judged(*asked(*_ANSWER), _CLOSE, says(words), left(9, 1.9, 1))
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant, finding.confidence) == ("http-error-status", "status-503", "likely")


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (_CLOSE, _EMPTY),  # the peer had not ended it
        (_CLOSE, _CUT),
        (_END, "KeyError: 503"),  # a number that nobody calls a status
        (_END, "503 rows were expected"),
        (_END, _EMPTY + "\nKeyError: rows"),  # its last word is another
        (_END, "worker: the config at 192.0.2.9:443 was refused"),
    ],
)
def test_words_that_say_nothing_of_this_connection(end: str, words: str) -> None:
    causes = {f.cause for f in blamed(judged(*asked(*_ANSWER), end, says(words), left(9, 1.9, 1)))}
    assert not causes & {"empty-reply", "truncated-response", "http-error-status"}


@pytest.mark.parametrize("words", [_EMPTY, _CUT, _STATUS])
def test_a_job_that_ended_well_minds_nothing(words: str) -> None:
    assert judged(*asked(*_ANSWER), _END, _CLOSE, says(words), left(9, 1.9)).verdict.outcome == "healthy"


def test_what_the_words_name_first_stays() -> None:
    """A limit that ran out and the complaint of a TLS library are other causes."""
    alert = "ssl.SSLError: tlsv13 alert certificate required, status code 503"
    assert cause_of(judged(*asked(), _FAREWELL, _CLOSE, says(alert), left(9, 1.9, 1))) == "tls-error"
    timeout = says("TimeoutError: timed out; status code 503")
    assert not blamed(judged(*asked(*_ANSWER), _END, _CLOSE, timeout, left(9, 1.9, 1)))


def _two_peers(words: str) -> list[str]:
    """Another answers after this one was asked, by the same process."""
    other = [
        line.replace("(3, ", "(4, ").replace("192.0.2.7", "192.0.2.8").replace("9 1.", "9 0.")
        for line in asked(*_ANSWER)
    ]
    late = moves(1.45, record(700)).replace("(3, ", "(4, ")
    return [*other, *asked()[:5], late, moves(1.5, record(9100)), _END, _CLOSE, says(words), left(9, 1.9, 1)]


@pytest.mark.parametrize("words", [_EMPTY, _CUT, _STATUS])
def test_another_peer_that_fits_as_well(words: str) -> None:
    assert not blamed(judged(*_two_peers(words)))
    assert blamed(judged(*_two_peers(words + " (192.0.2.7)")))  # the words name it
    assert not blamed(judged(*_two_peers(words + " (192.0.2.8)")))


def test_one_that_was_done_with_is_no_rival() -> None:
    lines = _two_peers(_STATUS)
    done = [line for line in lines if " 1.45 " not in line]
    assert cause_of(judged(*done)) == "http-error-status"


def test_a_plain_answer_is_read_and_not_guessed() -> None:
    """The status is that of a peer that shows it."""
    plain = [
        connect(9, 0.5, fd=6, address="192.0.2.5"),
        '9 0.6 sendto(6, "GET /1 HTTP/1.1\\r\\nHost: b\\r\\n\\r\\n", 29, 0, NULL, 0) = 29 <0.001>',
        '9 0.7 recvfrom(6, "HTTP/1.1 503 Busy\\r\\nContent-Length: 0\\r\\n\\r\\n", 999, 0, NULL, NULL) = 40 <0.001>',
    ]
    analysis = judged(*plain, *asked(*_ANSWER), _CLOSE, says(_STATUS), left(9, 1.9, 1))
    assert "192.0.2.7:443" not in {finding.peer for finding in blamed(analysis)}


def test_an_end_after_a_pause_is_that_of_a_stale_connection() -> None:
    """The server may have ended it before the request came."""
    first = asked(*_ANSWER)
    again = [moves(60.0, record(141), sent=True), moves(60.1, record(19)), "9 60.2 close(3) = 0 <0.0001>"]
    words = says("http.client.RemoteDisconnected: Remote end closed connection without response", 60.3)
    assert not blamed(judged(*first, *again, words, left(9, 60.4, 1)))
    at_once = [line.replace("9 60.", "9 1.6") for line in again]
    assert cause_of(judged(*first, *at_once, words.replace("9 60.3", "9 1.7"), left(9, 1.8, 1))) == "empty-reply"
