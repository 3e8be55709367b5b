"""rsync's daemon, asked by rsync."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from systrace.messages.replies import Reply, ServerError
from tests.decoders.relay import Relay
from tests.decoders.servers import decoded, directory, free_port, needs, run, serving

pytestmark = [pytest.mark.real, needs("rsync")]


@pytest.fixture(name="rsync", scope="module")
def start_rsync() -> Iterator[int]:
    """A daemon with one open module, and one that wants a password."""
    with directory() as home:
        port = free_port()
        Path(home, "files").mkdir()
        Path(home, "files/report.csv").write_text("1;2.50\n" * 200)
        Path(home, "secrets").write_text("job:s3cret-word\n")
        Path(home, "secrets").chmod(0o600)
        Path(home, "conf").write_text(
            f"use chroot = no\nlog file = {home}/log\nuid = root\ngid = root\nmotd file = {home}/motd\n"
            f"[prices]\npath = {home}/files\nread only = yes\n"
            f"[guarded]\npath = {home}/files\nauth users = job\nsecrets file = {home}/secrets\n"
        )
        Path(home, "motd").write_text("Files of the job\n")
        argv = ["rsync", "--daemon", "--no-detach", f"--config={home}/conf", f"--port={port}", "--address=127.0.0.1"]
        with serving(argv, port, home / "out"):
            yield port


@pytest.mark.parametrize("step", [0, 1, 7])
def test_a_file(rsync: int, step: int, tmp_path: Path) -> None:
    with Relay(rsync) as relay:
        done = run("rsync", f"rsync://127.0.0.1:{relay.port}/prices/report.csv", str(tmp_path))
        messages = decoded(relay.conversation(), "rsync", step)
    assert done.returncode == 0
    assert (tmp_path / "report.csv").stat().st_size == 1400
    summaries = [message.summary for message in messages]
    assert "module prices" in summaries
    assert "@RSYNCD: OK" in summaries
    assert not [m for m in messages if isinstance(m, ServerError)]


def test_no_such_module(rsync: int) -> None:
    with Relay(rsync) as relay:
        done = run("rsync", f"rsync://127.0.0.1:{relay.port}/nowhere/x", "/dev/null")
        messages = decoded(relay.conversation(), "rsync")
    (error,) = (m for m in messages if isinstance(m, ServerError))
    assert done.returncode == 5
    assert error.text in done.stderr


def test_a_wrong_password(rsync: int) -> None:
    with Relay(rsync) as relay:
        done = run(
            "rsync", f"rsync://job@127.0.0.1:{relay.port}/guarded/x", "/dev/null", env={"RSYNC_PASSWORD": "wrong"}
        )
        messages = decoded(relay.conversation(), "rsync")
    (error,) = (m for m in messages if isinstance(m, ServerError))
    assert error.text in done.stderr
    assert not any("wrong" in message.summary for message in messages)


def test_the_list_of_modules(rsync: int) -> None:
    with Relay(rsync) as relay:
        done = run("rsync", f"rsync://127.0.0.1:{relay.port}/")
        messages = decoded(relay.conversation(), "rsync")
    assert "prices" in done.stdout
    assert any(isinstance(message, Reply) for message in messages)
