"""Lines -> Analysis: the only file that sees all stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from systrace.calls import EXECS
from systrace.course import course
from systrace.decoders.conversation import Decoding
from systrace.decoders.parts.tls_keys import KeyLog
from systrace.decoders.whole import RequestDecoding, WholeDecoding
from systrace.idle_limits import Limit
from systrace.look.telling import tells
from systrace.masking.masks import Masks
from systrace.masking.report import evidence_text, mask_analysis
from systrace.model import (
    Analysis,
    Event,
    Evidence,
    Fact,
    Finding,
    Health,
    Input,
    Keep,
    Line,
    Message,
    Record,
    Sent,
    Source,
    Style,
)
from systrace.observations import Observation
from systrace.parser import EVERY_NAME, records
from systrace.parser.files import Files
from systrace.parser.leader import note_results
from systrace.parser.merged import Completion
from systrace.parser.syscalls import NOTES, SYSCALLS, wanted_names
from systrace.rules import judged
from systrace.rules.case.index import Case
from systrace.rules.case.visibility import clipped, hidden_by_options, lost_calls, sealed, stops_early, through_rings
from systrace.streams import Tracker
from systrace.streams.books import Listener, Together
from systrace.streams.evidence import finished_evidence
from systrace.streams.repeating import Repeats
from systrace.streams.snapshots import snapshot_of
from systrace.streams.transcript import Watching
from systrace.traffic.activity import Activity
from systrace.traffic.conversations import Conversations
from systrace.traffic.tape import Tape

_BATCH_BYTES = 1 << 24  # of arguments, about: `-s 1000000` makes lines of a megabyte
_NOTHING_MORE = Keep()
BATCH = 256  # records that pass one stage before the next has its turn: the processor's caches hold one stage's code


def raw_records(inputs: Sequence[Input]) -> Iterator[Record]:
    """Every call of a recording in order of completion, undigested: what `systrace events` prints."""
    len(SYSCALLS)  # imports the families, which enter the notes
    for record in records(inputs, EVERY_NAME, Health(), Style()):
        if record.syscall not in NOTES:
            yield record


def session_keys(path: Path | None = None, recorded: Iterable[bytes] = ()) -> KeyLog:
    """Session keys from a key-log file, and from lines of a recording that hold some.

    Raises:
        InputError: the file cannot be read.
    """
    log = KeyLog(path)
    for line in recorded:
        log.add(line)
    return log


def analyze(
    inputs: Sequence[Input],
    *,
    keep: Keep = _NOTHING_MORE,
    keylog: KeyLog | None = None,
    limits: Sequence[Limit] = (),
    context: Sequence[Observation] = (),
    server_logs: Sequence[str] = (),
) -> Analysis:
    """What a recording says: its sockets, processes, messages, findings, and the verdict on the whole job.

    Args:
        inputs: one file (pipe, live tracer), or the siblings of one `-ff` run.
        keep: what is wanted beyond the report.
        keylog: session keys of TLS connections; those that the trace itself shows are added.
        limits: idle limits of the user's own, beside the catalogue's.
        context: what was learned elsewhere, beside what the recording itself holds of that.
        server_logs: files, the other side's logs of these requests.

    Never raises on what the lines say: unreadable ones are counted in `health`.

    Raises:
        InputError: a server's log cannot be read.
    """
    health, style = Health(), Style()
    inputs = _renamed(inputs) if keep.redact_names else inputs
    keys = KeyLog() if keylog is None else keylog
    masks = Masks(shown=keep.secrets)
    ears = _Ears(keep, keys, masks)
    tracker = Tracker(ears.listener, keep.calls_of)
    feed = tracker.feed
    handlers = dict(SYSCALLS) | NOTES
    seen = style.syscalls
    repeats = Repeats()
    as_is = bool(inputs) and inputs[0].as_is
    files = Files(tracker.tasks.others)
    source_of_records = records(inputs, wanted_names(), health, style, as_is, BATCH, files)
    for batch in _batches(source_of_records, len(inputs) == 1, files, style, tracker):
        seen.update([record.syscall for record in batch])
        note_results(style, batch)
        events = [handlers[record.syscall](record) for record in batch]
        repeats.look(events)
        for event in events:
            if event is None:
                continue
            if type(event) is Sent or type(event) is Fact:
                event = keys.overhear(event)
            feed(event)
    tracker.finish(files.last_ns)
    repeats.finish()
    style.fd = tracker.lookup.annotations
    _note_damage(health, tracker.facts)
    source = Source([each.name for each in inputs], style, tracker.first_ns, tracker.last_ns, tracker.facts)
    evidence = finished_evidence(tracker, source, health, ears.finish())
    evidence.repeats, evidence.met = repeats.found, tracker.met
    ears.hand_over(evidence, keys)
    _note_limits(evidence)
    _hear_others(context, server_logs, evidence)
    return _judged(evidence, limits, masks)


def _renamed(inputs: Sequence[Input]) -> list[Input]:
    from systrace.masking.names import Names

    names = Names()
    return [replace(each, lines=map(names, each.lines)) for each in inputs]


def with_observations(analysis: Analysis, found: Sequence[Observation], limits: Sequence[Limit] = ()) -> Analysis:
    """The same evidence judged once more, with what was learned since."""
    evidence = analysis.evidence
    evidence.observations += found
    return _judged(evidence, limits, evidence.masks)


def _judged(evidence: Evidence, limits: Sequence[Limit], masks: Masks) -> Analysis:
    findings, answer = judged(Case(evidence, limits))
    analysis = Analysis(evidence, [_with_lines(evidence, finding) for finding in findings], answer)
    analysis.course = course(analysis)
    mask_analysis(analysis, masks)
    return analysis


class _Ears:
    """Who hears what goes over the sockets: the decoders, and what a report asked for."""

    def __init__(self, keep: Keep, keys: KeyLog, masks: Masks) -> None:
        whole = keep.requests or keep.exchanges
        self._decoding = RequestDecoding(keys, others=keep.exchanges) if whole else Decoding(keys)
        transcript = keep.transcript
        self._watching = None if transcript is None else Watching(transcript, WholeDecoding(transcript.limit, keys))
        self.activity = Activity() if keep.activity else None
        self._shown = keep.secrets
        self.conversations = Conversations() if keep.conversations else None
        self.tape = Tape(masks) if keep.tape else None
        asked = (self._watching, self.activity, self.conversations, self.tape)
        more = [each for each in asked if each is not None]
        self.listener: Listener = Together([self._decoding, *more]) if more else self._decoding

    def hand_over(self, evidence: Evidence, keys: KeyLog) -> None:
        """What reports asked for."""
        evidence.activity, evidence.tape, evidence.conversations = self.activity, self.tape, self.conversations
        evidence.tls_keys = keys.lines() if self.tape is not None and self._shown else b""

    def finish(self) -> list[Message]:
        """The log has ended: all messages."""
        if self._watching is not None:
            self._watching.finish()
        return self._decoding.finish()


def _note_limits(evidence: Evidence) -> None:
    """What the log cannot show."""
    health = evidence.health
    if stopped := stops_early(evidence):
        health.damage.append(stopped)
    unseen = [each for each in (lost_calls(evidence), through_rings(evidence)) if each]
    health.limits += unseen + hidden_by_options(evidence) + sealed(evidence)
    health.clipped_strings = clipped(evidence)


def _hear_others(context: Sequence[Observation], paths: Sequence[str], evidence: Evidence) -> None:
    evidence.observations += context
    if not paths:
        return
    from systrace.serverlogs.matching import witnesses

    for path in paths:
        told = witnesses(path, evidence)
        evidence.observations += told.observations
        evidence.health.limits += told.complaints


def _note_damage(health: Health, facts: dict[str, Any]) -> None:
    """What the reader of the file noticed; what came after is missing."""
    damage = facts.pop("damage", None)
    if damage is not None:
        health.damage.append(str(damage))
    health.torn |= damage is not None or bool(facts.get("fault"))


def _with_lines(evidence: Evidence, finding: Finding) -> Finding:
    return finding if finding.lines else replace(finding, lines=evidence_lines(evidence, finding))


def _batches(
    source: Iterator[Record], one_file: bool, files: Files, style: Style, tracker: Tracker
) -> Iterator[list[Record]]:
    """All records in order of completion; the files of -ff come so already."""
    completion = Completion()
    size, first = BATCH // 8, ""
    while batch := list(islice(source, size)):
        held = sum([len(record.args) for record in batch])  # noqa: C419 (a list is faster)
        size = min(BATCH, max(1, len(batch) * _BATCH_BYTES // (held + 1)))
        first = first or next((each.syscall for each in batch if each.syscall not in NOTES), "")
        yield completion.ordered(batch) if one_file else batch
        if completion.as_read:  # whoever asks for more has handled these
            files.behind(batch[-1].lineno, style, first in EXECS and tracker.lookup.sees_clone and not tracker.met)
    yield completion.rest()


def evidence_lines(evidence: Evidence, finding: Finding) -> list[Line]:
    """The log's own lines that prove a finding, in order, each once."""
    from systrace.story import Story

    story = Story(evidence, finding)
    lines: dict[tuple[int, int], Line] = {}
    for event in finding.evidence:
        record = event.record
        if record.raw and (record.source, record.lineno) not in lines:
            text = (
                _in_words(event, evidence, finding)
                or evidence_text(record, evidence.masks).decode("utf-8", "backslashreplace").rstrip()
            )
            file = evidence.source.files[record.source] if record.source < len(evidence.source.files) else "?"
            who, direction, told = story.tell(event)
            lines[record.source, record.lineno] = Line(file, record.lineno, text, record.time_ns, who, direction, told)
    return [lines[key] for key in sorted(lines)]


def _in_words(event: Event, evidence: Evidence, finding: Finding) -> str:
    """What a line of a snapshot, with all its sockets, says about the one in question."""
    socket = evidence.sockets.get(finding.socket or "")
    if type(event) is not Fact or socket is None:
        return ""
    said = next((reading for reading, line in socket.readings if line is event), None)
    return f"kernel: {tells(said)}" if said is not None else snapshot_of(event, socket)
