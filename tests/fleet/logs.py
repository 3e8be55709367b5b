"""Recordings of a small fleet: who runs where, talks to whom, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

START = 1_700_000_000


def log(
    path: Path, *, host: str | None = None, peer: str = "192.0.2.1", fails: bool = False, day: int = 0, more: str = ""
) -> Path:
    """A job that connects to port 443 of a peer, which refuses or does not."""
    at = START + day * 86400
    result = "-1 ECONNREFUSED (Connection refused)" if fails else "0"
    head = f"# systrace: {json.dumps({'format': 1, 'start': at, 'host': host})}\n" if host is not None else ""
    address = f'{{sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("{peer}")}}'
    lines = [
        'execve("/bin/job", ["job"], 0x7f /* 1 var */) = 0 <0.000100>',
        "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>",
        f"connect(3, {address}, 16) = {result} <0.250000>",
        f"exit_group({int(fails)}) = ?",
        f"+++ exited with {int(fails)} +++",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + more + "".join(f"9 {at + step}.000000 {line}\n" for step, line in enumerate(lines)))
    return path


def fleet(top: Path, hosts: int = 4) -> Path:
    """On each host a job to 192.0.2.1, which fails everywhere, and two to others, which fail on the first host only."""
    for number in range(hosts):
        host = f"host{number}"
        log(top / host / "export.strace", host=host, peer="192.0.2.1", fails=True, day=number)
        log(top / host / "import.strace", host=host, peer="192.0.2.2", fails=number == 0, day=number)
        log(top / host / "backup.strace", host=host, peer="192.0.2.3", fails=number == 0, day=number)
    return top
