"""Who is blamed for an answer: the receiver, the reader of its pipe, its shell; and who is left alone."""

from __future__ import annotations

import pytest

from systrace.model import Analysis, Finding, Input
from systrace.pipeline import analyze
from systrace.rules.pages import full_trace

HTML = "<!DOCTYPE html><html><title>502</title></html>"


def connect(pid: int, time: float, fd: int = 3, address: str = "192.0.2.7", port: int = 80) -> str:
    return (
        f"{pid} {time} connect({fd}, {{sa_family=AF_INET, sin_port=htons({port}), "
        f'sin_addr=inet_addr("{address}")}}, 16) = 0 <0.001>'
    )


def ask(pid: int, time: float, target: str = "/v1/rows", fd: int = 3, method: str = "GET", more: str = "") -> str:
    text = f"{method} {target} HTTP/1.1\\r\\nHost: api\\r\\n{more}\\r\\n"
    size = len(text.replace("\\r\\n", "12"))
    return f'{pid} {time} sendto({fd}, "{text}", {size}, 0, NULL, 0) = {size} <0.001>'


def got(
    pid: int, time: float, status: str, body: str = "", fd: int = 3, more: str = "", length: int | None = None
) -> str:
    size = len(body.replace('\\"', '"').replace("\\n", "n"))
    head = f"HTTP/1.1 {status}\\r\\n{more}Content-Length: {size if length is None else length}\\r\\n\\r\\n"
    total = len(head.replace("\\r\\n", "12")) + size
    return f'{pid} {time} recvfrom({fd}, "{head}{body}", 65536, 0, NULL, NULL) = {total} <0.001>'


def wrote(pid: int, time: float, text: str, fd: int = 2) -> str:
    return f'{pid} {time} write({fd}, "{text}", {len(text)}) = {len(text)} <0.001>'


def left(pid: int, time: float, status: int = 0) -> str:
    return f"{pid} {time} exit_group({status}) = ?\n{pid} {time + 0.001:.3f} +++ exited with {status} +++"


def forked(parent: int, child: int, time: float, command: str) -> str:
    return (
        f"{parent} {time} clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD) = {child} <0.001>\n"
        f'{child} {time + 0.01:.3f} execve("/usr/bin/{command}", ["{command}"], 0x7ffc) = 0 <0.001>'
    )


def judged(*lines: str) -> Analysis:
    return analyze([Input("content.strace", full_trace("\n".join(lines)).encode().splitlines(keepends=True))])


def blamed(analysis: Analysis) -> list[Finding]:
    return [f for f in analysis.findings if f.severity in ("fatal", "error")]


def test_the_crash_is_in_the_reader_of_the_pipe() -> None:
    """`curl | jq`: one finding, of the page and of jq's complaint, which is quoted and shown as evidence."""
    complaint = "parse error: Invalid numeric literal at line 1, column 10"
    analysis = judged(
        '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>',
        forked(9, 10, 1.1, "curl"), forked(9, 11, 1.2, "jq"),
        connect(10, 1.3), ask(10, 1.4), got(10, 1.5, "502 Bad Gateway", HTML, more="Server: awselb/2.0\\r\\n"), left(10, 1.6),
        wrote(11, 1.7, complaint), left(11, 1.8, 4), left(9, 1.9, 4),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant, finding.pid, finding.command) == (
        "html-instead-of-json",
        "status-502",
        11,
        "jq",
    )
    assert finding.peer == "192.0.2.7:80"
    assert complaint in finding.summary
    assert any(complaint in line.text for line in finding.lines)
    assert analysis.verdict.cause == "html-instead-of-json"
    assert analysis.verdict.outcome == "failed"


def test_a_client_that_fails_on_the_status_is_told_of_the_status() -> None:
    """`curl --fail`: the same page, and nobody has parsed it; the layer is named."""
    analysis = judged(
        '9 1.0 execve("/usr/bin/curl", ["curl", "-f"], 0x7ffc) = 0 <0.001>',
        connect(9, 1.3), ask(9, 1.4), got(9, 1.5, "502 Bad Gateway", HTML, more="Server: awselb/2.0\\r\\n"),
        wrote(9, 1.6, "curl: (22) The requested URL returned error: 502"), left(9, 1.7, 22),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.variant, finding.confidence) == ("http-error-status", "status-502", "confirmed")
    assert "a load balancer" in finding.summary


@pytest.mark.parametrize(
    ("status", "headers", "layer"),
    [
        ("504 Gateway Time-out", "Server: nginx/1.24.0\\r\\n", "a proxy in front of the application"),
        (
            "503 Service Unavailable",
            "Server: CloudFront\\r\\nX-Cache: Error from cloudfront\\r\\n",
            "a CDN (CloudFront",
        ),
        ("403 Forbidden", "Server: cloudflare\\r\\n", "a CDN (Cloudflare)"),
        ("503 Service Unavailable", "Server: envoy\\r\\n", "a proxy (Server: envoy)"),
        ("500 Internal Server Error", "Server: gunicorn\\r\\n", "the server (gunicorn)"),
    ],
)
def test_the_layer_that_sent_a_status(status: str, headers: str, layer: str) -> None:
    """By its own words in the head."""
    analysis = judged(connect(9, 1.3), ask(9, 1.4), got(9, 1.5, status, "sorry", more=headers), left(9, 1.7, 1))
    (finding,) = blamed(analysis)
    assert f"; sent by {layer}" in finding.summary


def test_a_shell_that_looks_at_the_result_fails_for_its_child() -> None:
    """curl ended well; the script compared the status that it printed."""
    analysis = judged(
        '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>', forked(9, 10, 1.1, "curl"),
        connect(10, 1.3), ask(10, 1.4), got(10, 1.5, "503 Service Unavailable", "busy"), left(10, 1.6),
        wrote(9, 1.7, "status is 503, not 200"), left(9, 1.9, 5),
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.pid) == ("http-error-status", 9)


def test_a_failure_that_its_parent_shrugs_off_is_none() -> None:
    """`curl -f ... || true`."""
    analysis = judged(
        '9 1.0 execve("/bin/sh", ["sh", "pull.sh"], 0x7ffc) = 0 <0.001>', forked(9, 10, 1.1, "curl"),
        connect(10, 1.3), ask(10, 1.4), got(10, 1.5, "404 Not Found", "none"),
        wrote(10, 1.6, "curl: (22) The requested URL returned error: 404"), left(10, 1.6, 22), left(9, 1.9, 0),
    )  # fmt: skip
    assert not blamed(analysis)
    assert analysis.verdict.outcome == "healthy"


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


def test_a_log_of_network_calls_only_has_no_family_tree() -> None:
    """The first process outlives the others; that it failed is all that is known."""
    analysis = judged(
        "9 1.0 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=8, si_uid=0, si_status=0} ---",
        connect(10, 1.3), ask(10, 1.4), got(10, 1.5, "200 OK", HTML), "10 1.6 +++ exited with 0 +++",
        "9 1.9 +++ exited with 4 +++",
    )  # fmt: skip
    (finding,) = blamed(analysis)
    assert (finding.cause, finding.pid) == ("html-instead-of-json", 9)
