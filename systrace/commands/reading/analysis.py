"""A recording of the command line, analysed: with progress, Ctrl-C, and a complaint where it is no strace log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from systrace.sources.logs import Recording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from systrace.idle_limits import Limit
    from systrace.model import Analysis, Keep
    from systrace.observations import Observation


def analysis_of(
    recording: Recording,
    keep: Keep | None = None,
    keylog: Path | None = None,
    limits: Sequence[Limit] = (),
    bar: bool = True,
    context: Sequence[Observation] = (),
    server_logs: Sequence[str] = (),
) -> Analysis:
    """The analysis of one recording; the options are those of `pipeline.analyze`, `keylog` is a file.

    `bar` shows how far the reading is; False where a bar over several recordings does.

    Raises:
        InputError: it cannot be read, or is no strace log.
    """
    import contextlib

    from systrace.commands.reading.interrupt import end_of_input_on_interrupt
    from systrace.commands.reading.keys import keys_for
    from systrace.commands.reading.progress import progress
    from systrace.errors import InputError
    from systrace.model import Keep
    from systrace.pipeline import analyze

    names = [each.name for each in recording.inputs]
    with progress(names) if bar else contextlib.nullcontext(), end_of_input_on_interrupt(names):
        keys = keys_for(recording.inputs, keylog)
        analysis = analyze(
            recording.inputs, keep=keep or Keep(), keylog=keys, limits=limits, context=context, server_logs=server_logs
        )
    complaint = recording.refusal(analysis)
    if complaint is not None:
        raise InputError(complaint)
    return analysis


def without_calls(recording: Recording, analysis: Analysis) -> str | None:
    """What to say of a log without a single system call: a monitor must not take that for healthy."""
    return recording.nothing_in(analysis)
