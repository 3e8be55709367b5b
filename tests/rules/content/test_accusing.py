"""Which answer a job died of: one accusation a victim, none where something made good."""

from __future__ import annotations

import pytest

from tests.rules.http_job import HTML, ask, blamed, connect, forked, got, judged, left, wrote


def test_a_retry_that_works_is_said_and_blames_nobody() -> None:
    """503, 503, 200."""
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4), got(9, 1.5, "503 Service Unavailable", "busy"),
        ask(9, 2.4), got(9, 2.5, "503 Service Unavailable", "busy"), ask(9, 3.4), got(9, 3.5, "200 OK", "[]"), left(9, 3.7),
    )  # fmt: skip
    assert not blamed(analysis)
    assert {(f.severity, f.recovered) for f in analysis.findings if f.cause == "http-error-status"} == {
        ("info", "retry")
    }


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(
            [
                ask(9, 1.4),
                got(9, 1.5, "401 Unauthorized", "who"),
                ask(9, 1.6),
                got(9, 1.7, "200 OK", "[]"),
                left(9, 2.0, 1),
            ],
            id="challenge",
        ),
        pytest.param([ask(9, 1.4), got(9, 1.5, "304 Not Modified"), left(9, 2.0, 1)], id="not modified"),
        pytest.param([ask(9, 1.4, method="HEAD"), got(9, 1.5, "200 OK", length=5000), left(9, 2.0, 1)], id="head"),
        pytest.param(
            [ask(9, 1.4, "/index.html"), got(9, 1.5, "200 OK", HTML), wrote(9, 1.6, "no new rates"), left(9, 2.0, 1)],
            id="a page that was wanted",
        ),
        pytest.param(
            [ask(9, 1.4), got(9, 1.5, "200 OK", "[]"), wrote(9, 1.6, "No space left on device"), left(9, 2.0, 1)],
            id="the disk is full",
        ),
        pytest.param(
            [ask(9, 1.4, method="POST"), got(9, 1.5, "200 OK"), wrote(9, 1.6, "disk quota"), left(9, 2.0, 1)],
            id="an upload has no answer body",
        ),
        pytest.param(
            [ask(9, 1.4), got(9, 1.5, "200 OK", "abc", length=900), left(9, 2.0, 1)], id="the client closed first"
        ),
        pytest.param([ask(9, 1.4), got(9, 1.5, "502 Bad Gateway", HTML), left(9, 2.0, 0)], id="handled"),
        pytest.param(
            [ask(9, 1.4), got(9, 1.5, "503 Service Unavailable", "busy"), "9 2.0 +++ killed by SIGTERM +++"],
            id="stopped from outside",
        ),
    ],
)
def test_no_answer_is_blamed(lines: list[str]) -> None:
    """What looks like a cause and is none: none of the content causes is named."""
    assert not [f for f in blamed(judged(connect(9, 1.3), *lines)) if f.cause not in ("slow-transfer", "hung-read")]


def test_an_early_optional_404_does_not_outrank_what_the_program_names() -> None:
    """The last answer that the words fit is the cause, and there is one finding."""
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4, "/config"), got(9, 1.5, "404 Not Found", "none"),
        ask(9, 1.6, "/v1/rows"), got(9, 1.7, "200 OK", "{oops", more="Content-Type: application/json\\r\\n"),
        wrote(9, 1.8, "json.decoder.JSONDecodeError: Expecting property name (char 1)"), left(9, 1.9, 1),
    )  # fmt: skip
    assert [f.cause for f in blamed(analysis)] == ["invalid-json"]


def test_one_of_many_in_a_pool_is_found_by_the_words() -> None:
    """The answer is not the last one; the traceback names its status."""
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4, "/part/1"), got(9, 1.5, "500 Internal Server Error", ""),
        ask(9, 1.6, "/part/2"), got(9, 1.7, "200 OK", "xxxx"),
        wrote(9, 1.8, "requests.exceptions.HTTPError: 500 Server Error"), left(9, 1.9, 1),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert finding.cause == "http-error-status"
    assert "/part/1" in finding.summary


def test_a_refusal_before_a_silent_retry_is_not_what_it_died_of() -> None:
    """503, then the same again without an answer: the job waited, and its words say so."""
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4), got(9, 1.5, "503 Service Unavailable", "busy"), ask(9, 2.4),
        wrote(9, 2.8, "TimeoutError: timed out"), left(9, 2.9, 1),
    )  # fmt: skip
    assert "http-error-status" not in [f.cause for f in blamed(analysis)]


def test_the_accusation_shows_request_answer_words_and_end() -> None:
    """Four lines of the log: what was asked, what came, what the program said, how it ended."""
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4), got(9, 1.5, "410 Gone", "no"), wrote(9, 1.6, "HTTP 410"), left(9, 1.7, 3)
    )
    (finding,) = blamed(analysis)
    assert [line.line for line in finding.lines] == [2, 3, 4, 5]
    assert finding.summary.endswith("the program then failed: “HTTP 410” (exit status 3).")


def test_an_exception_that_was_printed_and_swallowed_is_an_error() -> None:
    """Status 0, and a traceback about the last answer: the run is degraded, not failed."""
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4), got(9, 1.5, "200 OK", HTML),
        wrote(9, 1.6, "Traceback (most recent call last): json.decoder.JSONDecodeError: Expecting value"), left(9, 1.7, 0),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.severity) == ("html-instead-of-json", "error")
    assert analysis.verdict.outcome == "degraded"


def test_an_exception_that_was_handled_is_no_finding() -> None:
    """The same, and the job went on to something that worked."""
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4), got(9, 1.5, "200 OK", HTML),
        wrote(9, 1.6, "Traceback (most recent call last): json.decoder.JSONDecodeError: Expecting value"),
        ask(9, 1.7, "/mirror/rows"), got(9, 1.8, "200 OK", "[]"), left(9, 1.9, 0),
    )  # fmt: skip
    assert not blamed(analysis)


def test_words_that_the_log_cuts_speak_for_nothing_else() -> None:
    """`-s 32` shows the beginning of a complaint: the last answer stays the likely cause."""
    cut = '9 1.6 write(2, "cannot go on: the connection of "..., 400) = 400 <0.001>'
    analysis = judged(
        connect(9, 1.3), ask(9, 1.4), got(9, 1.5, "500 Internal Server Error", "no"), cut, left(9, 1.7, 1)
    )
    (finding,) = blamed(analysis)
    assert finding.cause == "http-error-status"


def _posted(time: float, body: str) -> str:
    text = f"POST /orders HTTP/1.1\\r\\nHost: api\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}"
    size = len(text.replace("\\r\\n", "12"))
    return f'9 {time} sendto(3, "{text}", {size}, 0, NULL, 0) = {size} <0.001>'


@pytest.mark.parametrize(("second", "causes"), [("id=4", ["http-error-status"]), ("id=3", [])])
def test_another_row_to_the_same_url_is_no_retry(second: str, causes: list[str]) -> None:
    """One row of many is refused; the one after it is stored at the same URL, and made nothing good."""
    analysis = judged(
        connect(9, 1.3), _posted(1.4, "id=3"), got(9, 1.5, "422 Unprocessable Entity", "no"),
        _posted(1.6, second), got(9, 1.7, "201 Created", "ok"), wrote(9, 1.8, "row 3: 422"), left(9, 1.9, 1),
    )  # fmt: skip
    assert [f.cause for f in blamed(analysis)] == causes


@pytest.mark.parametrize(
    ("words", "cause"),
    [("connect ECONNREFUSED 192.0.2.7:81", "connect-refused"), ("checked 192.0.2.7:81", "http-error-status")],
)
def test_who_had_complained_of_another_peer_notified_after_failing(words: str, cause: str) -> None:
    """One process: a connect is refused, it says so, posts to a hook that answers 500, and ends with 1."""
    refused = connect(9, 1.1, port=81).replace("= 0", "= -1 ECONNREFUSED (Connection refused)")
    analysis = judged(
        refused, "9 1.15 close(3) = 0 <0.001>", wrote(9, 1.2, words), connect(9, 1.3),
        ask(9, 1.4, "/hook", method="POST"), got(9, 1.5, "500 Internal Server Error", "no"), left(9, 1.6, 1),
    )  # fmt: skip
    assert analysis.verdict.cause == cause


@pytest.mark.parametrize(("again", "cause"), [("206 Partial Content", "recovered-error"), ("404 Not Found", "healthy")])
def test_a_cut_answer_that_a_later_process_fetched_is_told(again: str, cause: str) -> None:
    """`curl -o part URL || curl -C - -o part URL`: the rest came, and the job ended well."""
    analysis = judged(
        forked(9, 10, 1.0, "curl"), connect(10, 1.3), ask(10, 1.4, "/big"), got(10, 1.5, "200 OK", "abc", length=900),
        '10 1.6 recvfrom(3, "", 65536, 0, NULL, NULL) = 0 <0.001>', left(10, 1.7, 18),
        forked(9, 11, 2.0, "curl"), connect(11, 2.3), ask(11, 2.4, "/big"), got(11, 2.5, again, "xyz"), left(11, 2.7),
        left(9, 3.0),
    )  # fmt: skip
    assert (analysis.verdict.outcome, analysis.verdict.cause) == ("healthy", cause)
