"""The page of many recordings."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from systrace.fleet import task as module
from systrace.fleet.course import Plan, read
from systrace.fleet.summary import summary
from systrace.reporters.layout import Layout
from systrace.words import columns
from tests.fleet.logs import fleet, log


@pytest.fixture(autouse=True)
def utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def page(*paths: Path, width: int = 100, fitted: bool = False) -> str:
    done = read(Plan([str(each) for each in paths], recursive=True, jobs=2))
    return "\n".join(summary(done, Layout(width, fitted=fitted)))


def test_a_peer_that_fails_everywhere_and_a_host_that_does(tmp_path: Path) -> None:
    text = page(fleet(tmp_path))
    assert "12 recordings of 4 hosts, 2023-11-14 22:13 to 2023-11-17 22:13: 6 FAILED, 6 HEALTHY." in text
    assert (
        "     4  FAILED     connect-refused  192.0.2.1:443\n        on host0, host1, host2, host3; 2023-11-14" in text
    )
    assert "  192.0.2.1:443 fails on 4 of 4 hosts that talk to it: the peer, or the way to it\n" in text
    assert "  192.0.2.2:443 fails on 1 of 4 hosts that talk to it: not everywhere, look at the hosts\n" in text
    assert "  host host0 fails with 3 of 3 peers: the host, or its network\n" in text
    assert "host1 fails" not in text


def test_without_hosts_recordings_are_counted(tmp_path: Path) -> None:
    for number in range(4):
        log(tmp_path / f"{number}.strace", fails=number == 0)
    text = page(tmp_path)
    assert "  192.0.2.1:443 fails in 1 of 4 recordings: not everywhere" in text
    assert f"{tmp_path}/0.strace" in text


def test_recordings_without_a_host_are_not_left_out(tmp_path: Path) -> None:
    fleet(tmp_path, 2)
    for number in range(3):
        log(tmp_path / f"{number}.strace", fails=True)
    text = page(tmp_path)
    assert "     5  FAILED     connect-refused  192.0.2.1:443\n        on host0, host1, unknown host (3); 2023" in text
    assert "  192.0.2.1:443 fails on 5 of 5 hosts that talk to it" in text
    assert text.count("  host ") == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("in a/x.strace", "tar -xOf {tar} -- 'in a/x.strace' | systrace parse -"),
        ("in/j.7", "unpack {tar}, then systrace parse in/j.*"),
    ],
)
def test_what_to_do_for_a_member_of_an_archive(name: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tgz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(log(tmp_path / "x", fails=True), name)
    assert f"One full report: {said.format(tar=path)}" in " ".join(page(path, width=1000).split())
    if " | " in said:
        command = said.format(tar=path).partition(" | ")[0]
        assert (
            subprocess.run(command, shell=True, capture_output=True, check=True).stdout == (tmp_path / "x").read_bytes()
        )


def test_what_is_tried_again_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_some: object, **_more: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "analyze", fails)
    log(tmp_path / "x")
    text = page(tmp_path)
    assert f"  {tmp_path}/x: out of memory\n" in text
    assert "1 could not be read now: the same command tries again." in text


def test_all_healthy(tmp_path: Path) -> None:
    log(tmp_path / "a.strace")
    (tmp_path / "b.json").write_text("{}")
    text = page(tmp_path)
    assert text.startswith("1 recording, 2023-11-14 22:13: 1 HEALTHY.\n\n1 read now in ")
    assert "1 files are no recordings (JSON 1)" in text or "1 file is no recording (JSON 1)" in text


def test_what_could_not_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.strace").write_bytes(b"\xffgarbage")
    text = page(tmp_path, tmp_path / "nowhere")
    assert "20 NOT READ" in text
    assert f"  {tmp_path}/nowhere: No such file or directory\n" in text
    assert f'  {tmp_path}/00.strace: this is no strace log; it begins with "\\xffgarbage"\n' in text
    assert "  and 9 more (the column `reason` of the table recordings)" in text


def test_hostile_names_are_harmless(tmp_path: Path) -> None:
    log(tmp_path / "\x1b[2J\n.strace", host="web\x1b]0;x\x07\n1", fails=True)
    (tmp_path / "\u202egnp.strace").write_bytes(b"\x1b[31mred")
    text = page(tmp_path)
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert all(line.startswith((" ", "What", "Peer", "Not", "2 ", "One")) or not line for line in text.split("\n"))


@pytest.mark.parametrize("width", [40, 60, 100])
def test_lines_fit_a_narrow_terminal(width: int, tmp_path: Path) -> None:
    fleet(tmp_path / ("long" * 20))
    (tmp_path / "bad.strace").write_bytes(b"garbage")
    lines = page(tmp_path, width=width, fitted=True).split("\n")
    assert [line for line in lines if columns(line) > width and str(tmp_path) not in line] == []
    assert os.environ["TZ"] == "UTC"
