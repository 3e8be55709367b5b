"""The report for people: the answer first, at every width, harmless whatever the trace says."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyte
import pytest

from systrace.model import Analysis, Finding, Input, Line, Step, Verdict
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS
from systrace.reporters.formats.table import one_line, render
from systrace.reporters.layout import Layout
from systrace.rules import RULES
from systrace.words import columns

Analyse = Callable[..., Analysis]


def finding(cause: str, severity: str = "warning", **more: object) -> Finding:
    return replace(
        Finding(
            cause,
            severity=severity,
            summary=f"summary of {cause}",
            lines=[Line("/logs/job.strace", 7, "close(3) = 0")],
            causes=["a cause"],
            next_steps=[Step("ss -tn")],
            remedy=["a remedy"],
            refuted_by="a fact",
        ),
        **more,  # type: ignore[arg-type]
    )


def with_findings(analysis: Analysis, *findings: Finding) -> Analysis:
    verdict = Verdict("failed", findings[0].cause, None, 0, "the headline")
    return Analysis(analysis.evidence, list(findings), verdict)


def test_the_answer_comes_first_and_says_all(refused: Analysis) -> None:
    text = render(refused, Layout(100))
    first = text.split("\n\n")[0]
    assert first.startswith("FAILED: ")
    assert "192.0.2.10:5432" in first
    assert "exit status 1" in first.split("\n")[0]
    assert "[connect-refused; proven]" in first.replace("\n", " ")
    order = ["\nProof (job.strace", "\nMost likely", "\nCheck", "\nChange", "\nWrong if"]
    places = [text.index(each) for each in [*order, "\nSockets\n", "\nRead 6 "]]
    assert places == sorted(places)


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_nothing_but_commands_is_wider_than_the_terminal(refused: Analysis, hung: Analysis, width: int) -> None:
    for analysis in (refused, hung):
        steps = [step for each in analysis.findings for step in each.next_steps]
        commands = {f"  {step.command}" for step in steps if step.command}
        wide = [line for line in render(analysis, Layout(width, fitted=True)).split("\n") if columns(line) > width]
        table = [line for line in wide if line not in commands]
        assert table == []


def test_nothing_is_cropped_in_a_pipe(hung: Analysis) -> None:
    text = render(hung, Layout(60))
    row = next(line for line in text.split("\n") if line.startswith("  S1"))
    assert "192.0.2.20:80" in row
    assert "fetch[9] fd 4" in row
    assert "60.0 s" in row
    assert "waiting until SIGTERM" in row


def test_colours_are_added_and_nothing_else(refused: Analysis) -> None:
    painted = render(refused, Layout(100, colour=True))
    assert painted.startswith("\x1b[1;31mFAILED:\x1b[0m ")
    plain = painted
    for code in ("1;31", "1;33", "1;32", "1", "2", "0"):
        plain = plain.replace(f"\x1b[{code}m", "")
    assert plain == render(refused, Layout(100))


def test_more_findings_are_shortened_and_counted(refused: Analysis) -> None:
    five = [finding(f"cause-{at}") for at in range(5)]
    analysis = with_findings(refused, finding("main", "fatal"), *five, finding("trifle", "info"))
    text = render(analysis, Layout(100))
    assert [f"Note: summary of cause-{at} [cause-{at}; likely]" in text for at in range(5)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert "and 3 more notes: --all" in text
    everything = render(analysis, Layout(100, everything=True))
    assert "Note: summary of trifle [trifle; likely]" in everything
    assert "--all" not in everything


def test_a_note_on_a_healthy_log_is_not_lost(analyse: Analyse, logs: dict[str, str]) -> None:
    healthy = analyse(logs["healthy"])
    analysis = replace(healthy, findings=[finding("trifle", "info")])
    assert "\n1 note: --all\n" in render(analysis, Layout(100))


def test_long_lists_of_evidence_are_counted(refused: Analysis) -> None:
    lines = [Line("/logs/job.strace", at, f"read({at}) = 0") for at in range(1, 31)]
    text = render(with_findings(refused, finding("main", lines=lines)), Layout(100))
    assert "Proof (job.strace, line at the right)" in text
    assert re.search(r"\n  read\(8\) = 0 +8\n", text)
    assert "and 22 more: --all" in text


def test_a_hostile_trace_commands_no_terminal(analyse: Analyse) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x1b[1;1H\u202e\r\n[bold]"
    log = (
        b'9 1700000001.000 execve("/bin/\x1b[2Jx", ["\x1b[2Jx"], 0x7 /* 1 vars */) = 0 <0.1>\n'
        b"9 1700000001.100 socket(AF_UNIX, SOCK_STREAM, 0) = 3 <0.1>\n"
        b'9 1700000001.200 connect(3, {sa_family=AF_UNIX, sun_path="/run/\x1b[31m\xff\x9b"}, 110) = -1 ECONNREFUSED (x) <0.1>\n'
        b"9 1700000001.300 +++ exited with 1 +++\n"
    )
    analysis = analyse(log)
    hostile = finding(
        evil, summary=evil, variant=evil, command=evil, peer=evil, lines=[Line(evil, 1, evil)], causes=[evil],
        next_steps=[Step(evil, evil)], remedy=[evil], refuted_by=evil,
    )  # fmt: skip
    for each in analysis.evidence.sockets.values():
        each.name = evil
    analysis.evidence.health.damage.append(evil)
    analysis.evidence.health.limits.append(evil)
    analysis = Analysis(analysis.evidence, [hostile, *analysis.findings], Verdict("failed", evil, evil, 0, evil))
    for layout in (Layout(80), Layout(80, fitted=True), Layout(80, everything=True)):
        text = render(analysis, layout)
        assert all(char == "\n" or char.isprintable() for char in text)
        screen = pyte.Screen(300, 200)
        pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
        assert screen.title == ""
        assert [line.rstrip() for line in screen.display if line.strip()] == [s for s in text.split("\n") if s.strip()]
    assert all(char.isprintable() for char in one_line(analysis))


def test_one_line(analyse: Analyse, logs: dict[str, str]) -> None:
    line = one_line(analyse(logs["healthy"]))
    assert line.startswith("systrace: ")
    assert line.endswith("(3 connections, 12 B out, 12 B in)")
    assert "no network use" in one_line(analyse("9 1700000001.000 +++ exited with 0 +++\n"))


def test_what_could_not_be_read_is_said(analyse: Analyse, logs: dict[str, str]) -> None:
    text = render(analyse(logs["refused"] + "9 gibberish without end\n" * 2), Layout(200))
    assert "2 lines not understood" in text
    assert "every line understood" in render(analyse(logs["refused"]), Layout(200))


def test_the_reporter_writes_utf8_without_colour_into_a_buffer(refused: Analysis) -> None:
    out = io.BytesIO()
    REPORTERS["table"].write(refused, out)
    assert out.getvalue().decode("utf-8").startswith("FAILED: ")
    assert b"\x1b" not in out.getvalue()


def test_next_commands_can_be_pasted(tmp_path: Path) -> None:
    """Prose is a comment, LOG the file that was read, and what a trace names is one word of the shell."""
    log = tmp_path / "a log"
    log.write_text("".join((
        '9 1.0 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.7")}, 16) = 0 <0.01>\n',
        '9 1.1 sendto(3, "GET /\';touch$IFS\'x HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 44, 0, NULL, 0) = 44 <0.0001>\n',
        '9 2.2 recvfrom(3, "HTTP/1.1 500 Error\\r\\nContent-Length: 0\\r\\n\\r\\n", 4096, 0, NULL, NULL) = 41 <0.001>\n',
        '9 2.3 write(2, "HTTP 500 error\\n", 15) = 15 <0.0001>\n9 2.4 +++ exited with 1 +++\n',
    )))  # fmt: skip
    analysis = analyze([Input(str(log), log.read_bytes().splitlines(keepends=True))])
    (step,) = analysis.findings[0].next_steps
    assert shlex.split(step.command.partition("|")[0]) == ["curl", "-sv", "http://a/';touch$IFS'x"]
    steps = [Step(why="its log"), Step("systrace follow LOG --socket S1", "as text"), Step("true", "why " * 12)]
    analysis.findings[0] = replace(analysis.findings[0], next_steps=steps)
    wide, narrow = (render(analysis, Layout(width)) for width in (200, 40))
    assert f"\n  systrace follow '{log}' --socket S1  # as text\n" in wide
    assert "  # its log\n  # as text\n  systrace follow " in narrow
    assert "why why\n  true\n" in narrow


def test_steps_are_comments_or_commands() -> None:
    """Of every rule: a shell takes each step as it is, its placeholders apart."""
    for rule in RULES.values():
        lines = [b"%s\n" % line for line in rule.fires.encode().split(b"\n")]
        for finding in analyze([Input("log", lines)]).findings:
            for step in finding.next_steps:
                assert subprocess.run(["bash", "-n", "-c", str(step)], check=False).returncode == 0, step
                first = str(step).split()[0]
                assert first == "#" or (first.isascii() and first.islower() and not first.endswith(":")), step


@pytest.mark.parametrize("width", [40, 80, 120])
def test_proof_is_never_wider_than_the_page(width: int, refused: Analysis) -> None:
    long = Line("/logs/job.strace", 7, "raw", 1, "job", "said", "said: " + "x" * 300)
    text = render(with_findings(refused, finding("main", lines=[long])), Layout(width))
    proof = text.split("\nProof")[1].split("\nMost likely")[0].split("\n")[1:]
    assert max(columns(line) for line in proof) <= width
    assert proof[-1].endswith(" 7")


def test_the_last_words_of_a_job_that_no_rule_explains(analyse: Analyse) -> None:
    log = (
        '9 1700000001.000000 execve("/bin/sh", ["sh", "job.sh"], 0x7 /* 1 vars */) = 0 <0.1>\n'
        '9 1700000001.100000 write(2, "no config\\n  at line 3\\n", 22) = 22 <0.1>\n'
        "9 1700000001.200000 exit_group(3) = ?\n9 1700000001.300000 +++ exited with 3 +++\n"
    )
    text = render(analyse(log), Layout(100))
    assert "\nIts last words: no config\n" in text


def test_where_to_look_on(tmp_path: Path, logs: dict[str, str]) -> None:
    path = tmp_path / "job.strace"
    path.write_text(logs["refused"])
    text = render(analyze([Input(str(path), path.read_bytes().splitlines(keepends=True))]), Layout(300))
    assert text.endswith(
        f"More: systrace follow {path} --socket S1, systrace check {path}, systrace explain connect-refused\n"
    )


@pytest.mark.parametrize(("utc", "stamp"), [(True, "22:13:21.000"), (False, "00:13:21.000")])
def test_clock_times_are_this_machine_s_unless_asked_otherwise(
    utc: bool, stamp: str, analyse: Analyse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "XXX-2")
    time.tzset()
    try:
        lines = [Line("/logs/job.strace", 7, "raw", 1700000001_000000000, "job", "sent", "sent x")]
        analysis = with_findings(analyse("9 1700000001.000 +++ exited with 1 +++\n"), finding("main", lines=lines))
        text = render(analysis, Layout(100, utc=utc))
        assert stamp in text
        assert ("UTC" if utc else "+0200") in text.split("\n")[0]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_finding_like_one_above_is_a_title(refused: Analysis) -> None:
    same = [finding("main", "fatal", peer=f"192.0.2.{at}:80", summary=f"refused by {at}") for at in (1, 2)]
    text = render(with_findings(refused, *same, finding("other", remedy=["another remedy"])), Layout(100))
    assert "Also: refused by 2 [main; likely; line 7]" in text
    assert text.count("Proof") == 2
    assert [text.count(each) for each in ("a cause", "ss -tn", "a remedy", "another remedy")] == [1, 1, 1, 1]


def test_the_log_begins_with_the_call_that_began_first(analyse: Analyse) -> None:
    """It may end last."""
    log = "8 1700000001.000000 flock(3, LOCK_EX <unfinished ...>\n9 1700000050.000000 exit_group(0) = ?\n"
    log += "8 1700000060.000000 <... flock resumed>) = 0 <59.000000>\n8 1700000060.100000 +++ exited with 0 +++\n"
    analysis = analyse(log)
    assert "Read 4 lines" in render(analysis, Layout(100))
    assert "over 59.1 s" in render(analysis, Layout(100))
