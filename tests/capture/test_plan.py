"""What `run` was asked for, checked: what stops the job, and what is only said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from systrace.capture.plan import Options, Plan, find, plan_of, string_limit
from systrace.errors import CommandError, SystraceError, UsageError
from systrace.outputs import RefusedError
from systrace.settings import NAMES, settings
from systrace.tracers import TRACERS


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of this machine's."""
    for name in NAMES:
        monkeypatch.delenv(f"SYSTRACE_{name.replace('-', '_').upper()}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    settings.cache_clear()


def plan(**asked: Any) -> Plan:
    return plan_of(Options(["sh"], **asked))


def test_a_program_is_found_as_a_shell_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("sh").endswith("/sh")
    assert find("/bin/sh") == "/bin/sh"
    (tmp_path / "plain").write_text("exit 0")
    (tmp_path / "dir").mkdir()
    for missing, said, status in (
        ("no-such-program", "command not found", 127),
        (f"{tmp_path}/x", "No such file or directory", 127),
        (f"{tmp_path}/plain/x", "Not a directory", 127),
        (f"{tmp_path}/plain", "Permission denied", 126),
        (f"{tmp_path}/dir", "Permission denied", 126),
        ("", "command not found", 127),
        ("a\0/b", "No such file or directory", 127),
    ):
        with pytest.raises(CommandError, match=said) as raised:
            find(missing)
        assert raised.value.exit_code == status
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="command not found"):
        find("plain")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"save": "/tmp/x", "save_dir": "/tmp"}, "choose one"),
        ({"save": "/tmp/x", "keep": "3"}, "--keep works only with --save-dir"),
        ({"keep": "some"}, "write a number"),
        ({"keepalive": "1,2"}, "IDLE,INTERVAL,COUNT"),
        ({"keepalive": "500ms,1,1"}, "IDLE,INTERVAL,COUNT"),
        ({"keepalive": "60,15,128"}, "IDLE,INTERVAL,COUNT"),
        ({"keepalive": "10h,15,1"}, "IDLE,INTERVAL,COUNT"),
        ({"timeout": "30x"}, "30x is no duration: write 30s, 5m, 2h or 1d"),
        ({"timeout": "0"}, "0 is no time at all"),
        ({"timeout": "24d"}, "24d is too long"),
        ({"max_size": "many"}, "many is no size: write 500k, 64M or 2G"),
        ({"string_limit": "8"}, "at least 64 bytes"),
        ({"string_limit": "2G"}, "at most 1G"),
        ({"tracer": "dtrace"}, "there is no tracer 'dtrace'"),
    ],
)
def test_options_that_make_no_sense_stop_the_job(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan(**asked)


@pytest.mark.parametrize(
    ("asked", "name", "value"),
    [
        ({"timeout": "90"}, "timeout", 90.0),
        ({"timeout": "1h30m"}, "timeout", 5400.0),
        ({"max_size": "64M"}, "limit", 64 << 20),
        ({"max_size": "1.5k"}, "limit", 1536),
        ({"string_limit": "1k"}, "string_limit", 1024),
        ({"keepalive": "1m,15s,4"}, "keepalive", "1m,15s,4"),
        ({"job": "night run"}, "job", "night_run"),
        ({}, "job", "sh"),
    ],
)
def test_units(asked: dict[str, Any], name: str, value: object) -> None:
    assert getattr(plan(**asked), name) == value


def test_the_tracer_that_was_named_comes_first_and_the_other_stands_by() -> None:
    names = [tracer.name for tracer in plan(tracer="embedded").tracers]
    assert names[0] == "embedded"
    assert plan(tracer="embedded").reasons == []


def test_a_tracer_that_is_not_there_and_was_not_asked_for_is_no_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert plan(tracer="embedded").reasons == []
    monkeypatch.setattr(TRACERS["ebpf"], "unavailable", lambda: "no rights")
    assert plan().reasons == ["ebpf: no rights"]
    assert [tracer.name for tracer in plan(tracer="strace").tracers] == ["embedded"]
    assert plan(strict=True).tracers
    with pytest.raises(SystraceError, match="strace is not installed"):
        plan(strict=True, tracer="strace")


def test_each_place_that_is_refused_is_said_by_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = plan(save=f"{tmp_path}/no/t", report=f"{tmp_path}", live=f"{tmp_path}/no/l")
    assert (made.save, made.report, made.live, made.directory) == (None, None, None, None)
    assert capfd.readouterr().err.splitlines() == [
        f"systrace: cannot write {tmp_path}/no/t: {tmp_path}/no: No such directory: nothing is saved",
        f"systrace: cannot write {tmp_path}: it is a directory: the report goes to standard error",
        f"systrace: cannot write {tmp_path}/no/l: {tmp_path}/no: No such directory: no events are shown",
    ]
    for name in ("save", "report", "live"):
        with pytest.raises(RefusedError):
            plan(strict=True, **{name: f"{tmp_path}/no/x"})


def test_a_number_for_live_is_a_descriptor() -> None:
    reader, writer = os.pipe()
    live = plan(live=str(writer)).live
    assert live is not None
    assert (live.kind, live.descriptor) == ("descriptor", writer)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("name", ["²", "9999999", "007x"])
def test_what_is_no_descriptor_is_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    live = plan(live=name).live
    assert live is not None
    assert (live.kind, live.path.name) == ("new", name)


def test_a_directory_for_recordings_is_made_private(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = plan(save_dir=str(tmp_path / "d"))
    assert made.directory == tmp_path / "d"
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o700
    assert made.save is not None
    assert made.save.path.name.startswith("sh-")
    assert plan(save_dir=str(tmp_path / "no" / "d")).save is None
    assert f"cannot make {tmp_path}/no/d: No such file or directory: nothing is saved" in capfd.readouterr().err


def test_bytes_of_a_string() -> None:
    assert [string_limit(text) for text in ("64", "4k", "1M")] == [64, 4096, 1 << 20]
