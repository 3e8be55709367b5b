"""What `run` and `attach` share, and the words of `attach`, without a process to trace."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from systrace.commands.capture import attaching, common
from systrace.commands.capture.common import Conclusion, choose, conclude, style_of, watch
from systrace.commands.capture.keepalive import Keepalives
from systrace.commands.capture.looking import Looked, what_passive_gives
from systrace.errors import CaptureError, UsageError
from systrace.model import Event
from systrace.reporters.layout import Layout
from systrace.tracers import TRACERS

LINES = [
    b"900 10.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[1]> <0.000010>\n",
    b'900 10.000100 connect(3<socket:[1]>, {sa_family=AF_INET, sin_port=htons(81), sin_addr=inet_addr("192.0.2.7")}, 16)'
    b" = -1 ECONNREFUSED (Connection refused) <0.000100>\n",
    b'900 10.000300 read(4</etc/hosts>, "x", 1) = 1 <0.000010>\n',
    b"900 10.001000 exit_group(1) = ?\n",
    b"900 10.002000 +++ exited with 1 +++\n",
]


@pytest.mark.parametrize("words", ["²,1,1", "1,1", "0,1,1", "1,1,128", "x"])
def test_what_is_no_keepalive(words: str) -> None:
    with pytest.raises(UsageError, match="write IDLE,INTERVAL,COUNT"):
        Keepalives(words)


def test_formats() -> None:
    assert (style_of("table"), style_of("json")) == ("table", "json")
    with pytest.raises(UsageError, match="there is no report format 'yaml': choose from "):
        style_of("yaml")


def test_the_second_choice_is_said(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(TRACERS["embedded"], "unavailable", lambda: None, raising=False)
    monkeypatch.setattr(TRACERS["strace"], "unavailable", lambda: None, raising=False)
    assert choose(None).name == "strace"
    monkeypatch.setattr(TRACERS["strace"], "unavailable", lambda: "is not here", raising=False)
    assert choose(None, quiet=True).name == "embedded"
    assert capfd.readouterr().err == ""
    assert choose(None).name == "embedded"
    assert capfd.readouterr().err == "systrace: strace: is not here; the embedded tracer takes its place\n"
    with pytest.raises(CaptureError, match=r"^strace: is not here$"):
        choose("strace")
    with pytest.raises(UsageError, match="there is no tracer 'gdb': choose from "):
        choose("gdb")


def test_a_conclusion_goes_through_a_pipe() -> None:
    answer = Conclusion.read(conclude("the trace", iter(LINES), "json", Layout()))
    assert (answer.failed, answer.healthy) == (True, False)
    assert "192.0.2.7:81" in answer.line
    assert json.loads(answer.report)["verdict"]["cause"] == "connect-refused"


def test_nothing_recorded_is_still_concluded() -> None:
    answer = Conclusion.read(conclude("the trace", iter(()), "json", Layout()))
    assert json.loads(answer.report)["verdict"]["outcome"] == "inconclusive"
    assert not answer.failed


def test_watching_leaves_out_plain_files() -> None:
    seen: list[Event] = []
    watch(iter(line.rstrip(b"\n") for line in LINES), seen.append)
    names = [event.record.syscall for event in seen]
    assert "connect" in names
    assert "read" not in names


def test_words_of_attach() -> None:
    assert attaching._under_way(1, None) == "tracing 1 process; Ctrl-C ends it"
    assert attaching._under_way(3, 2.5) == "tracing 3 processes for 2.5 s; Ctrl-C ends it earlier"


def test_what_passive_gives_follows_from_what_was_seen() -> None:
    seen = Looked.at(os.getpid())
    assert what_passive_gives(seen) == "; --passive reports what can be seen without tracing"
    first = seen.analysis.findings[0]
    for variant, said in (("zombie", ""), ("kernel", ""), ("hidden", "; --passive tells the little that may be seen")):
        other = replace(seen, analysis=replace(seen.analysis, findings=[replace(first, variant=variant)]))
        assert what_passive_gives(other).startswith(said)
        assert bool(what_passive_gives(other)) == bool(said)
    look = seen.look
    gone = replace(look, processes=(replace(look.root, start_ticks=1), *look.processes[1:]))
    assert what_passive_gives(replace(seen, look=gone)) == ""


def test_header_names_the_tracer_and_the_place() -> None:
    from systrace.tracers import Request

    facts = common.header(TRACERS["embedded"], Request(Path("x"), frozenset({"read"})))
    assert (facts["tracer"], facts["user"], facts["cwd"]) == ("embedded", os.getuid(), str(Path.cwd()))
