"""What `run` and `attach` share, and the words of `attach`, without a process to trace."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from systrace.commands.capture import attaching, common
from systrace.commands.capture.common import Conclusion, ReportTo, choose, conclude, size, style_of, watch
from systrace.commands.capture.job import find, open_live
from systrace.commands.capture.keepalive import Keepalives
from systrace.errors import CaptureError, UsageError
from systrace.kernel.snapshot import take
from systrace.model import Event
from systrace.reporters.layout import Layout
from systrace.rules.look.diagnose import diagnose
from systrace.tracers import TRACERS

LINES = [
    b"900 10.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[1]> <0.000010>\n",
    b'900 10.000100 connect(3<socket:[1]>, {sa_family=AF_INET, sin_port=htons(81), sin_addr=inet_addr("192.0.2.7")}, 16)'
    b" = -1 ECONNREFUSED (Connection refused) <0.000100>\n",
    b'900 10.000300 read(4</etc/hosts>, "x", 1) = 1 <0.000010>\n',
    b"900 10.001000 exit_group(1) = ?\n",
    b"900 10.002000 +++ exited with 1 +++\n",
]


@pytest.mark.parametrize(
    ("text", "number"),
    [("500", 500), ("1k", 1024), ("64M", 64 << 20), ("2g", 2 << 30), ("10MB", 10 << 20), ("7b", 7), (None, None)],
)
def test_sizes(text: str | None, number: int | None) -> None:
    assert size(text) == number


@pytest.mark.parametrize("text", ["", "k", "1.5k", "-1", "1kk", "1t", "²", "1 k", "0x10"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is no size: write 500k, 64M or 2G"):
        size(text)


@pytest.mark.parametrize("target", ["²", "99999999999999999999", "987654", "/nowhere/at/all"])
def test_what_live_cannot_write_to(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if target == "²":  # no number: a file of that name
        descriptor = open_live(target)
        assert descriptor is not None
        os.close(descriptor)
        assert (tmp_path / target).exists()
        return
    with pytest.raises(UsageError, match=f"--live {target}: "):
        open_live(target)


@pytest.mark.parametrize("seconds", [1e300, float("nan"), float("inf"), -1.0, 2_000_001])
def test_times_that_nobody_can_wait_for(seconds: float) -> None:
    with pytest.raises(UsageError, match=r"--for .*: at most 2,000,000 s \(23 days\)"):
        common.check_seconds("--for", seconds)
    common.check_seconds("--for", None)
    common.check_seconds("--for", 2_000_000)


@pytest.mark.parametrize("words", ["²,1,1", "1,1", "0,1,1", "1,1,128", "x"])
def test_what_is_no_keepalive(words: str) -> None:
    with pytest.raises(UsageError, match="write IDLE,INTERVAL,COUNT"):
        Keepalives(words)


def test_a_program_is_found_as_a_shell_would(tmp_path: Path) -> None:
    assert find("sh").endswith("/sh")
    assert find("/bin/sh") == "/bin/sh"
    for missing, said in (("no-such-program", "command not found"), (f"{tmp_path}/x", "No such file or directory")):
        with pytest.raises(UsageError, match=said):
            find(missing)


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


def test_a_report_is_written_whole_and_nobody_need_read_it(tmp_path: Path) -> None:
    to = ReportTo(tmp_path / "report")
    to.write(b"x" * 100_000)
    assert (tmp_path / "report").read_bytes() == b"x" * 100_000
    assert (tmp_path / "report").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match=r"cannot write .*: No such file or directory"):
        ReportTo(tmp_path / "no" / "report")
    reader, writer = os.pipe()
    os.close(reader)
    ReportTo(None, writer).write(b"to nobody")
    os.close(writer)


def test_words_of_attach() -> None:
    assert attaching._under_way(1, None) == "tracing 1 process; Ctrl-C ends it"
    assert attaching._under_way(3, 2.5) == "tracing 3 processes for 2.5 s; Ctrl-C ends it earlier"


def test_what_passive_gives_follows_from_what_was_seen() -> None:
    snapshot = take(os.getpid())
    diagnosis = diagnose(snapshot)
    gives = attaching._what_passive_gives
    assert gives(snapshot, diagnosis) == "; --passive reports what can be seen without tracing"
    first = diagnosis.findings[0]
    for variant, said in (("zombie", ""), ("kernel", ""), ("hidden", "; --passive tells the little that may be seen")):
        other = replace(diagnosis, findings=(replace(first, variant=variant),))
        assert gives(snapshot, other).startswith(said)
        assert bool(gives(snapshot, other)) == bool(said)
    gone = replace(snapshot, processes=(replace(snapshot.root, start_ticks=1), *snapshot.processes[1:]))
    assert gives(gone, diagnosis) == ""


def test_header_names_the_tracer_and_the_place() -> None:
    from systrace.tracers import Request

    facts = common.header(TRACERS["embedded"], Request(Path("x"), frozenset({"read"})))
    assert (facts["tracer"], facts["user"], facts["cwd"]) == ("embedded", os.getuid(), str(Path.cwd()))
