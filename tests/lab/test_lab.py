"""The laboratory keeps its promises: it can be built twice, and leaves nothing behind."""

import subprocess
from pathlib import Path

import pytest

from tests.lab import network
from tests.lab.network import DNS, SERVER, Lab
from tests.lab.recording import python, record
from tests.lab.servers import running

FORBIDDEN = network.forbidden()
pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(FORBIDDEN), reason=FORBIDDEN or "-")]


def namespaces() -> str:
    """The names of all namespaces."""
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def test_two_labs_do_not_meet_and_both_vanish() -> None:
    """Same addresses, different networks; a failure inside the block takes the lab away as well."""
    with Lab() as one, Lab() as other:
        names = {namespace.name for lab in (one, other) for namespace in (lab.client, lab.router, lab.server)}
        assert len(names) == 6
        with running(one.server, "echo", SERVER, 7):
            answered = [
                lab.client.run(*python(f'import socket; socket.create_connection(("{SERVER}", 7))'), check=False)
                for lab in (one, other)
            ]
    assert [done.returncode for done in answered] == [0, 1]
    third = Lab()
    names.add(third.client.name)
    with pytest.raises(ZeroDivisionError), third:
        raise ZeroDivisionError
    assert not names & set(namespaces().split())
    assert not any((Path("/etc/netns") / name).exists() for name in names)


def test_job_that_is_ended_leaves_no_process(tmp_path: Path) -> None:
    """SIGTERM reaches the whole job, and the log is complete."""
    with Lab() as lab, running(lab.server, "silent", SERVER, 80):
        client = f'import socket; s = socket.create_connection(("{SERVER}", 80)); s.send(b"A\\n"); s.recv(1)'
        recording = record(lab.client, python(client), tmp_path / "job.strace", until=lambda text: "recvfrom" in text)
        left = lab.client.run("ip", "netns", "pids", lab.client.name).stdout.split()
    assert recording.status == -15
    assert recording.text.rstrip().endswith("+++ killed by SIGTERM +++")
    assert len(left) <= 1  # the `ip` that asks


def test_names_resolve_in_the_lab_only() -> None:
    """The client has a name server, a hosts file and nothing else of this machine's."""
    with Lab() as lab, running(lab.server, "name-server", DNS, 53, 10):
        answer = lab.client.run("getent", "ahostsv4", "anything.example").stdout
    assert answer.split()[0] == SERVER
