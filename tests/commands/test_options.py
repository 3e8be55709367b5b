"""What `run` and `attach` share on the command line means the same in both."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from systrace.commands import attach, options, run


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("save", options.Save),
        ("styles", options.Styles),
        ("outputs", options.Outputs),
        ("tracer", options.TracerName),
        ("string_limit", options.Strings),
    ],
)
def test_shared_options_are_one(name: str, kind: object) -> None:
    for command in (attach.attach, run.run):
        assert typing.get_type_hints(command, include_extras=True)[name] == kind
    defaults = [inspect.signature(command).parameters[name].default for command in (attach.attach, run.run)]
    assert defaults[0] == defaults[1]


LOG = str(Path(__file__).parents[2] / "samples" / "hung-read" / "trace.strace")


def systrace(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "systrace", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("words", [("parse",), ("events",), ("requests",), ("follow", "--socket", "S4")], ids=" ".join)
def test_output_and_report_are_one(words: tuple[str, ...], tmp_path: Path) -> None:
    for name in ("output", "report"):
        assert systrace(*words, LOG, f"--{name}", tmp_path / name).stdout == ""
    assert (tmp_path / "output").read_text() == (tmp_path / "report").read_text() != ""
    shown = systrace(words[0], "--help").stdout
    assert "--output, --report FILE" in shown


@pytest.mark.parametrize(("limit", "same_as"), [("1", "1M"), ("1", "1024k"), ("8", "8 MiB"), ("0.5g", "512")])
def test_sizes_of_follow(limit: str, same_as: str) -> None:
    one, other = (systrace("follow", LOG, "--socket", "S4", "--limit", text) for text in (limit, same_as))
    assert (one.returncode, one.stdout) == (0, other.stdout)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("follow", LOG, "--limit", "0"), "--limit 0: from 64k to 4G"),
        (("follow", LOG, "--limit", "5G"), "--limit 5G: from 64k to 4G"),
        (("follow", LOG, "--limit", "much"), "much is no size: write 500k, 64M or 2G"),
        (("keepalive", "1", "--idle", "soon"), "soon is no duration: write 30s, 5m, 2h or 1d"),
        (("keepalive", "1", "--idle", "500ms"), "--idle 500ms: whole seconds from 1 to 32767 (9 h)"),
        (("keepalive", "1", "--interval", "10h"), "--interval 10h: whole seconds from 1 to 32767 (9 h)"),
        (("explain", "--format", "xml"), "there is no format 'xml': choose table or json"),
        (("doctor", "--format", "xml"), "there is no format 'xml': choose table or json"),
    ],
)
def test_what_does_not_fit_is_one_line(words: tuple[str, ...], said: str) -> None:
    done = systrace(*words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"systrace: {said}\n")


def test_doctor_and_explain_for_programs() -> None:
    checks = systrace("doctor", "--format", "json").stdout
    assert {"name", "level", "found", "cost", "mend"} == set(json.loads(checks.splitlines()[0]))
    assert len(systrace("doctor", "--json").stdout.splitlines()) == len(checks.splitlines())
    assert "--json" not in systrace("doctor", "--help").stdout
    page = json.loads(systrace("explain", "hung-read", "--format", "json").stdout)
    assert page["cause"] == "hung-read"
    assert "What to do" in page["sections"]
    pages = json.loads(systrace("explain", "--format", "json").stdout)
    assert page in pages
    assert {"healthy", "inconclusive"} <= {each["cause"] for each in pages}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["parse", "--al", "x"],
            "parse: no such option: --al (Possible options: --all, --otlp, --raw); see `systrace parse --help`",
        ),
        (["parse"], "parse: missing argument 'LOG...'; see `systrace parse --help`"),
        (["parse", "--format"], "option '--format' requires an argument; see `systrace --help`"),
        (
            ["attach", "abc"],
            "attach: invalid value for 'PID...': 'abc' is no whole number; see `systrace attach --help`",
        ),
        (["run", "--bo\x1b[2Jgus\n", "true"], "run: no such option: --bo\\x1b[2Jgus\\x0a; see `systrace run --help`"),
        (["--bogus"], "no such option: --bogus; see `systrace --help`"),
    ],
)
def test_wrong_usage_is_one_line_as_every_other_error(words: list[str], said: str) -> None:
    """Which command, what is wrong, where to read on; nothing that a terminal obeys."""
    done = subprocess.run([sys.executable, "-m", "systrace", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"systrace: {said}\n")


def test_without_a_command_there_is_the_help() -> None:
    """Not an error in one line: somebody looks for the way in."""
    done = subprocess.run([sys.executable, "-m", "systrace"], capture_output=True, text=True, check=False)
    assert "Commands:\n" in done.stdout + done.stderr
