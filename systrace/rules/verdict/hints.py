"""What a log shows beside, where no cause is to be seen: the next thing to look at, never an accusation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from systrace.model import Process
from systrace.rules.case.index import Case
from systrace.rules.case.local_waits import broken_off, told
from systrace.words import payload, seconds

_FRAME = re.compile(rb"at \S+\(|File \"|from \S+:\d+:in |\.\.\. \d+ more|#\d+ |\^+$")  # of Java, Python, Ruby, PHP


def hints(case: Case, root: Process) -> str:
    """Sentences for the end of a verdict, each with a blank before it."""
    found = (_broken_waits(case), _local_waits(case), _failed_step(case, root), _last_words(case, root))
    return "".join(f" {sentence}" for each in found for sentence in each)


def _broken_waits(case: Case) -> Iterator[str]:
    """A wait that a signal broke off and the program did not take up again (EINTR, signal(7))."""
    for socket in case.clients:
        span = socket.waits[-1] if socket.waits else None
        if span is not None and span.broken_by and span.ended_by in ("close", "exit"):
            yield (
                f"{span.broken_by} interrupted its wait for {case.label(socket)} (EINTR) after {seconds(span.duration_ns)}, "
                "and it did not wait again."
            )
            return


def _failed_step(case: Case, root: Process) -> Iterator[str]:
    """The last child that failed of itself and did nothing on the network; the job's own status may be another."""
    network = {socket.pid for socket in case.clients if socket.is_network}
    failed = [p for p in case.descendants(root) if case.fate(p) == "failed" and p.pid not in network and p.traced]
    leaves = [p for p in failed if not any(case.fate(each) == "failed" for each in case.descendants(p))]
    step = max(leaves, key=lambda p: case.end_of(p) or 0, default=None)
    if step is not None:
        yield f"A step of it failed: {case.name_of(step)} (exit status {step.exit_code})."


def _local_waits(case: Case) -> Iterator[str]:
    """The longest wait for a lock, a file or input that whoever stopped the process put an end to."""
    process, span = max(broken_off(case), key=lambda each: each[1].duration_ns or 0, default=(None, None))
    if process is not None and span is not None:
        yield f"{case.name_of(process)}: {told(case, process, span)}."


def _last_words(case: Case, root: Process) -> Iterator[str]:
    """What was written to standard error last: by the job, or by a child of it."""
    processes = [root, *case.descendants(root)]
    said = [(case.at(o.event), p.pid) for p in processes for o in p.output if o.fd == 2 and o.data.strip()]
    if said:
        speaker = case.evidence.processes[max(said)[1]]
        text = b"".join(output.data for output in speaker.output if output.fd == 2)  # a line may come in pieces
        lines = [line.strip() for line in text.strip().splitlines()]
        words = [line for line in lines if not _FRAME.match(line)]
        yield f"Its last words: {payload((words or lines)[-1], 100)}."
