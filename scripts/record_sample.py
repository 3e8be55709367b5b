#!/usr/bin/env python3
"""Record the traces of samples again: scripts/record_sample.py [STORY ...]

Runs samples/STORY/job.sh under strace in the network that its setup.json describes (root, ip, nft and strace needed),
writes trace.strace and command.txt, and expected.json with the verdict that `systrace parse` reaches: read it before
you commit it.
"""

import json
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.lab.network import DNS, forbidden  # noqa: E402
from tests.lab.recording import FULL, Recording, record  # noqa: E402
from tests.lab.story import Story, load, playing  # noqa: E402

MARGIN = 120.0  # seconds beyond the story's own end


def record_story(folder: Path) -> None:
    """trace.strace and command.txt of one sample."""
    story = load(folder)
    trace = folder / "trace.strace"
    trace.unlink(missing_ok=True)
    end = story.end_after_s
    with playing(story) as lab:
        started = time.monotonic()
        until = None if end is None else lambda _: time.monotonic() - started > end
        result = record(lab.client, ["./job.sh"], trace, until=until, limit=(end or 0) + MARGIN, folder=folder)
    (folder / "command.txt").write_text(describe(story, result))


def describe(story: Story, result: Recording) -> str:
    """How it was recorded, for readers of the sample."""
    version = subprocess.run(["strace", "--version"], capture_output=True, text=True, check=True).stdout.split()[3]
    kernel = platform.release().split("-")[0]
    servers = [
        f"{name} on {address}:{port} {' '.join(map(str, number))}".strip()
        for name, address, port, *number in story.servers
    ]
    if story.names:
        servers.append(f"name server on {DNS}:53")
    faults = [
        f"{name} {' '.join(f'{key}={value}' for key, value in arguments.items())}".strip()
        for name, arguments in story.faults.items()
    ]
    end = "the job itself" if story.end_after_s is None else f"SIGTERM after {story.end_after_s:g} s"
    return f"""{story.title}

command:  strace {shlex.join(FULL)} -o trace.strace ./job.sh
strace:   {version}, Linux {kernel} {platform.machine()}
servers:  {"; ".join(servers) or "none"}
faults:   {"; ".join(faults) or "none"}
ended by: {end}
status:   {result.status}
"""


def expect(folder: Path) -> None:
    """expected.json: the verdict that systrace reaches on the recorded trace, without its wording."""
    argv = [sys.executable, "-m", "systrace", "parse", "--format", "json", str(folder / "trace.strace")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    verdict = json.loads(done.stdout)["verdict"]
    expected = {key: verdict[key] for key in ("outcome", "cause", "peer")}
    (folder / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


def main() -> int:
    """The program."""
    reason = forbidden()
    if reason:
        print(f"record_sample: {reason}", file=sys.stderr)
        return 2
    stories = [ROOT / "samples" / name for name in sys.argv[1:]]
    for folder in stories or sorted(path.parent for path in (ROOT / "samples").glob("*/setup.json")):
        record_story(folder)
        expect(folder)
        print(f"{folder.name}: {' '.join((folder / 'expected.json').read_text().split())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
