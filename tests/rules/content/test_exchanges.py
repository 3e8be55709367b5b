"""Protocols other than HTTP: the last word, cut messages, bytes that nobody decodes."""

from __future__ import annotations

import pytest

from tests.rules.http_job import ask, blamed, connect, forked, judged, left, wrote


def sent(time: float, text: str, size: int) -> str:
    """The client's bytes."""
    return f'9 {time} sendto(3, "{text}", {size}, 0, NULL, 0) = {size} <0.001>'


def came(time: float, text: str, size: int, fd: int = 3) -> str:
    """The server's bytes."""
    return f'9 {time} recvfrom({fd}, "{text}", 65536, 0, NULL, NULL) = {size} <0.001>'


PING = sent(1.2, "*1\\r\\n$4\\r\\nPING\\r\\n", 14)


def test_the_servers_own_words_are_quoted_once() -> None:
    """The code is not said twice where the text begins with it."""
    analysis = judged(
        connect(9, 1.1, port=6379), PING, came(1.3, "-LOADING Redis is loading\\r\\n", 27),
        wrote(9, 1.4, "LOADING Redis is loading"), left(9, 1.5, 2),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.confidence) == ("server-error-reply", "confirmed")
    assert "LOADING LOADING" not in finding.summary


def test_a_refusal_that_the_client_worked_around_is_none() -> None:
    """An error, then success; the job fails later for another reason."""
    analysis = judged(
        connect(9, 1.1, port=6379), PING, came(1.3, "-LOADING Redis is loading\\r\\n", 27),
        sent(2.2, "*1\\r\\n$4\\r\\nPING\\r\\n", 14), came(2.3, "+PONG\\r\\n", 7),
        wrote(9, 2.4, "disk quota exceeded"), left(9, 2.5, 2),
    )  # fmt: skip
    assert not blamed(analysis)


def test_a_message_that_ends_early() -> None:
    """500 bytes announced, then the end."""
    analysis = judged(
        connect(9, 1.1, port=6379), sent(1.2, "*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\nk\\r\\n", 20),
        came(1.3, "$500\\r\\nabc", 9), came(1.4, "", 0), left(9, 1.5, 1),
    )  # fmt: skip
    assert "truncated-response" in [f.cause for f in blamed(analysis)]


def test_a_download_shorter_than_announced() -> None:
    """FTP says the size on the control connection; the data connection ends before it."""
    analysis = judged(
        connect(9, 1.1, port=21), came(1.2, "220 FTP ready\\r\\n", 15), sent(1.3, "PASV\\r\\n", 6),
        came(1.4, "227 Entering Passive Mode (192,0,2,7,195,80)\\r\\n", 46), connect(9, 1.5, fd=4, port=50000),
        sent(1.6, "RETR d.bin\\r\\n", 12), came(1.7, "150 Opening BINARY mode (9000 bytes)\\r\\n", 38),
        came(1.8, "abc", 3, fd=4), came(1.9, "", 0, fd=4), left(9, 2.0, 18),
    )  # fmt: skip
    (finding,) = [f for f in blamed(analysis) if f.cause == "truncated-response"]
    assert finding.peer == "192.0.2.7:50000"
    assert "announced 9000 bytes" in finding.summary


@pytest.mark.parametrize(("ending", "cause"), [([came(1.4, "", 0)], "truncated-response"), ([], "invalid-payload")])
def test_the_program_counts_records_that_no_decoder_knows(ending: list[str], cause: str) -> None:
    """Its own words, right after the last bytes; what came before the end decides the kind."""
    analysis = judged(
        connect(9, 1.1, port=7101), sent(1.2, "list\\n", 5), came(1.3, "50\\na\\nb\\n", 7), *ending,
        wrote(9, 1.5, "expected 50 records, got 2"), left(9, 1.6, 3),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.confidence) == (cause, "possible")


def test_a_number_in_the_complaint_is_found_in_the_bytes() -> None:
    """ASCII read as a length: the value that the program names is in the four bytes."""
    analysis = judged(
        connect(9, 1.1, port=7403), sent(1.2, "\\1\\2\\3\\4get", 7), came(1.3, "ERRO", 4),
        wrote(9, 1.4, "frame of 1163022927 bytes"), left(9, 1.5, 1),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert finding.cause == "framing-error"
    assert "1163022927" in finding.summary


def test_a_refusal_in_a_protocol_that_nobody_knows() -> None:
    """The program repeats the server's line."""
    analysis = judged(
        connect(9, 1.1, port=7500), sent(1.2, "HELLO 7\\n", 8), came(1.3, "E42 quota exceeded, access denied\\n", 34),
        wrote(9, 1.4, "server said: E42 quota exceeded, access denied"), left(9, 1.5, 1),
    )  # fmt: skip
    assert "server-error-reply" in [f.cause for f in blamed(analysis)]


def test_a_wait_for_what_the_wrong_peer_can_not_say() -> None:
    """A mail server greets where HTTP was asked for; timeout(1) ends the wait: the mismatch is the cause."""
    analysis = judged(
        '8 1.0 execve("/usr/bin/timeout", ["timeout", "5", "job"], 0x7ffc) = 0 <0.001>',
        forked(8, 9, 1.01, "job"), connect(9, 1.1, port=25), ask(9, 1.2),
        came(1.3, "220 mx.example ESMTP Postfix\\r\\n", 30), "9 6.0 +++ killed by SIGTERM +++", left(8, 6.1, 124),
    )  # fmt: skip
    assert analysis.verdict.cause == "protocol-mismatch"


@pytest.mark.parametrize(
    ("port", "command", "text", "variant"),
    [
        (27, '"curl", "smtp://mail.example:27"', "421 too busy", "smtp-421"),
        (27, '"curl", "-T", "-", "ftp://files.example:27"', "421 too busy", "ftp-421"),
        (25, '"notify"', "421 too busy", "smtp-421"),
        (21, '"notify"', "421 too busy", "ftp-421"),
        (27, '"notify"', "421 4.3.2 too busy", "smtp-421"),
        (27, '"notify"', "421 too busy", "421"),
    ],
)
def test_a_421_in_place_of_a_greeting_is_of_two_protocols(port: int, command: str, text: str, variant: str) -> None:
    """FTP and SMTP both say so; the port or the command line tells which, or nothing does."""
    analysis = judged(
        f'9 1.0 execve("/usr/bin/x", [{command}], 0x7ffc) = 0 <0.001>',
        connect(9, 1.1, port=port), came(1.3, f"{text}\\r\\n", len(text) + 2), left(9, 1.5, 8),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant) == ("server-error-reply", variant)
    assert f"refused{f' ({variant[:-4]})' if variant != '421' else ''}: 421" in finding.summary
