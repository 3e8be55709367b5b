"""Which answer a job died of: one accusation a victim, none where something made good."""

from __future__ import annotations

import re

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze
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


@pytest.mark.parametrize("again", ["206 Partial Content", "404 Not Found"])
def test_a_cut_answer_after_which_the_job_went_on_is_told(again: str) -> None:
    """`curl -o part URL || curl -C - -o part URL`: the rest came, or it did not, and the job ended well."""
    analysis = judged(
        forked(9, 10, 1.0, "curl"), connect(10, 1.3), ask(10, 1.4, "/big"), got(10, 1.5, "200 OK", "abc", length=900),
        '10 1.6 recvfrom(3, "", 65536, 0, NULL, NULL) = 0 <0.001>', left(10, 1.7, 18),
        forked(9, 11, 2.0, "curl"), connect(11, 2.3), ask(11, 2.4, "/big"), got(11, 2.5, again, "xyz"), left(11, 2.7),
        left(9, 3.0),
    )  # fmt: skip
    assert (analysis.verdict.outcome, analysis.verdict.cause) == ("healthy", "recovered-error")
    assert {finding.cause for finding in analysis.findings} == {"recovered-error", "truncated-response"}


# ----------------------------------------------------------------------------- where -e trace=network hides files and words

MADE = "{} 0.9 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.001>"  # else it would be a thread of 10
PAGE = got(20, 1.2, "200 OK", HTML, more="Content-Type: text/html\\r\\n")
DATA = got(20, 1.2, "200 OK", "<a/>", more="Content-Type: text/xml\\r\\n")
SAVED = [MADE.format(20), connect(20, 1.0), ask(20, 1.1, "/master.xml")]


def ended(pid: int, time: float, status: int, parent: int = 10) -> list[str]:
    child = (
        f"{{si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid={pid}, si_uid=0, si_status={status}, si_utime=0, si_stime=0}}"
    )
    return [f"{pid} {time} +++ exited with {status} +++", f"{parent} {time + 0.01:.2f} --- SIGCHLD {child} ---"]


STEP_1 = [*ended(20, 1.4, 0, parent=19), *ended(19, 1.5, 0)]  # curl within a script of its own


def network_only(*lines: str, status: int = 1) -> Analysis:
    """A job whose first process is 10, as `strace -f -e trace=network` shows it."""
    first = "10 0.5 socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, 0) = 3 <0.001>"
    text = "\n".join([first, *lines, f"10 9.0 +++ exited with {status} +++", ""])
    text = re.sub(r"(?m)^(\d+) (\d\.\d+)", lambda m: f"{m[1]} {1_795_000_000 + float(m[2]):.6f}", text)
    return analyze([Input("job.strace", text.encode().splitlines(keepends=True))])


def test_a_later_step_is_the_best_guess_where_files_are_hidden() -> None:
    """A page came where XML was asked for, and was saved; a step that does nothing on the network fails later."""
    analysis = network_only(*SAVED, PAGE, *STEP_1, *ended(21, 2.5, 0), *ended(30, 5.0, 1))
    assert (analysis.verdict.outcome, analysis.verdict.cause) == ("failed", "invalid-payload")
    (found,) = blamed(analysis)
    assert found.confidence == "possible"
    assert "[30] then failed (exit status 1)" in found.summary
    assert "does not show its files" in found.refuted_by


def test_a_guess_stays_one_where_the_page_is_cut() -> None:
    """-s shows less of the body: that makes nothing surer."""
    cut = PAGE.replace(f'{HTML}"', f'{HTML[:30]}"...')
    (found,) = blamed(network_only(*SAVED, cut, *STEP_1, *ended(30, 5.0, 1)))
    assert found.confidence == "possible"


LATER = [MADE.format(22).replace("0.9", "1.9"), connect(22, 2.0), ask(22, 2.1, "/master.xml")]
NETWORK = [MADE.format(30).replace("0.9", "1.9"), connect(30, 2.0)]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        pytest.param([PAGE, *STEP_1, *ended(30, 5.0, 1)], 0, id="the job ended well"),
        pytest.param([PAGE, *STEP_1, *ended(30, 5.0, 1), *ended(31, 6.0, 2)], 1, id="two steps failed"),
        pytest.param([PAGE, *ended(30, 1.3, 1), *STEP_1], 1, id="it failed before"),
        pytest.param([DATA, *STEP_1, *ended(30, 5.0, 1)], 1, id="what was asked for"),
        pytest.param([got(20, 1.2, "404 Not Found", "no"), *STEP_1, *ended(30, 5.0, 1)], 1, id="is it there?"),
        pytest.param(
            [PAGE, *STEP_1, *LATER, DATA.replace("20 1.2", "22 2.2"), *ended(22, 2.4, 0), *ended(30, 5.0, 1)],
            1,
            id="asked again with success",
        ),
        pytest.param([PAGE, *STEP_1, *NETWORK, *ended(30, 5.0, 1)], 1, id="a step on the network"),
    ],
)
def test_nobody_is_guessed_at(lines: list[str], status: int) -> None:
    assert not blamed(network_only(*SAVED, *lines, status=status))


ANSWER = 'recvfrom(3, "HTTP/1.1 503 Unavailable\\r\\nContent-Length: 0\\r\\n\\r\\n", 511, %s, NULL, NULL) = 47 <0.001>'


def test_a_request_that_write_sent_is_hidden() -> None:
    """wget writes its request with write(2) and peeks at the answer."""
    lines = [MADE.format(20), connect(20, 1.0), f"20 1.2 {ANSWER % 'MSG_PEEK'}", *ended(20, 1.4, 8)]
    asked = network_only(*lines, status=8)
    assert (asked.verdict.cause, asked.verdict.peer) == ("http-error-status", "192.0.2.7:80")


@pytest.mark.parametrize(
    "before",
    [
        pytest.param('20 1.1 recvfrom(3, "\\0\\0\\0\\24", 4, 0, NULL, NULL) = 4 <0.001>', id="other bytes came first"),
        pytest.param('20 1.1 sendto(3, "\\1\\2\\3\\4", 4, 0, NULL, 0) = 4 <0.001>', id="something else was said"),
    ],
)
def test_where_no_http_was_asked_for_no_status_is_blamed(before: str) -> None:
    lines = [MADE.format(20), connect(20, 1.0), before, f"20 1.2 {ANSWER % '0'}", *ended(20, 1.4, 8)]
    assert "http-error-status" not in {found.cause for found in network_only(*lines, status=8).findings}


PART = '{\\"rows\\": [1, 2, 3'
COMPLAINT = "JSON decode error: Control character error, possibly incorrectly encoded"


def test_a_part_of_a_document_is_what_its_parser_complains_of() -> None:
    """Of an "ok" that came before, too, one could say so: the last that the words fit is meant."""
    fields = "Content-Type: application/json\\r\\n"
    analysis = judged(
        connect(10, 1.0, 4, "192.0.2.9", 8081), ask(10, 1.1, "/cfg", 4), got(10, 1.2, "200 OK", "ok", 4),
        connect(10, 1.3), ask(10, 1.4), got(10, 1.5, "200 OK", PART, more=fields, length=900),
        '10 1.6 recvfrom(3, "", 9, 0, NULL, NULL) = 0 <0.001>', wrote(10, 1.7, COMPLAINT), left(10, 1.8, 1),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.peer) == ("truncated-response", "192.0.2.7:80")


def test_text_that_nobody_called_json_is_a_guess_where_the_program_went_on() -> None:
    """The next answer was sound."""
    rows = '{\\"rows\\": []}'
    later = [ask(10, 1.4), got(10, 1.5, "200 OK", rows, more="Content-Type: application/json\\r\\n")]
    for more, confidence in (([], "likely"), (later, "possible")):
        analysis = judged(
            connect(10, 1.0), ask(10, 1.1, "/cfg"), got(10, 1.2, "200 OK", "ok"), *more,
            wrote(10, 1.7, "JSONDecodeError: Expecting value"), left(10, 1.8, 1),
        )  # fmt: skip
        (finding,) = blamed(analysis)
        assert (finding.cause, finding.confidence) == ("invalid-json", confidence)
