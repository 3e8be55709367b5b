"""Which finding is the root cause: the one that the failing process met last, unless one of an earlier phase explains it."""

from __future__ import annotations

from signal import Signals

from systrace.model import Draft, Process
from systrace.rules.case.index import Case
from systrace.rules.rule import RULES

_SEVERITY = {"fatal": 0, "error": 1, "warning": 2, "info": 3}
_CONFIDENCE = {"confirmed": 0, "likely": 1, "possible": 2}


def said_best(found: list[Draft]) -> list[Draft]:
    """Without those that another rule says better: of the same socket (`Rule.over`), or of the death of the same process
    (`Rule.gives_way`).
    """
    explained = {f.pid for f in found if RULES[f.cause].content and f.severity in ("fatal", "error")}
    found = [f for f in found if f.pid not in explained or not RULES[f.cause].gives_way]
    winners = {cause: {r.cause for r in RULES.values() if cause in r.over} for cause in {f.cause for f in found}}
    told = {(finding.cause, finding.socket) for finding in found}
    return [f for f in found if f.socket is None or not any((w, f.socket) in told for w in winners[f.cause])]


def ranked(case: Case, found: list[Draft]) -> list[Draft]:
    """All findings, the root cause first; the same one on many sockets once, with a count."""
    merged = _merged(found)
    rivals, told = _Rivals(case.findings), _statuses_told(case, merged)
    return sorted(merged, key=lambda f: _key(case, f, rivals, told))


class _Rivals:
    """The failures that may explain others, by where they do: a log may hold a hundred thousand of them."""

    def __init__(self, findings: list[Draft]) -> None:
        self._of_socket: dict[tuple[int | None, str | None], list[Draft]] = {}
        self._of_process: dict[int | None, dict[str, Draft]] = {}  # by cause, the first one
        self._proven: set[str | None] = set()
        for finding in findings:
            if finding.severity not in ("fatal", "error"):
                continue
            self._of_socket.setdefault((finding.pid, finding.socket), []).append(finding)
            if RULES[finding.cause].of_process:
                first = self._of_process.setdefault(finding.pid, {}).setdefault(finding.cause, finding)
                if (finding.time_ns or 0) < (first.time_ns or 0):
                    self._of_process[finding.pid][finding.cause] = finding
            if finding.confidence == "confirmed":
                self._proven.add(finding.peer)

    def explain(self, finding: Draft) -> bool:
        """Whether a failure of an earlier phase stands behind this one, or a proven one at the same peer says it better."""
        near = self._of_socket.get((finding.pid, finding.socket), []) if finding.socket is not None else []
        if any(_explains(other, finding) for other in near if other is not finding):
            return True
        if any(_explains(other, finding) for other in self._of_process.get(finding.pid, {}).values()):
            return True
        return finding.confidence == "possible" and finding.peer in self._proven


def _key(case: Case, finding: Draft, rivals: _Rivals, told: set[int]) -> tuple[int, int, int, int, int, int]:
    process = case.owner_of(finding.pid)
    fate = case.fate(process)
    hopeless = 0 if fate in ("failed", "killed") else 1 if fate == "open" else 2
    if finding.severity not in ("fatal", "error"):
        return (_SEVERITY[finding.severity], 0, 3, 0, finding.time_ns or 0, 0)
    blame = _explained(case, process)
    late = -(finding.end_ns or finding.time_ns or 0)
    last = 1 if RULES[finding.cause].judges and len(case.findings) > 1 else 0
    line = -last_line(finding)  # settles ties of coarse clocks
    weight = hopeless + blame + last + _status_lost(case, process, told)
    return (0, int(rivals.explain(finding)), weight, late, line, _CONFIDENCE[finding.confidence])


def _statuses_told(case: Case, found: list[Draft]) -> set[int]:
    """The jobs (pids of their roots) that ended with the status of a child which failed: it is the reason, as a rule."""
    processes = [case.owner_of(f.pid) for f in found if f.severity in ("fatal", "error")]
    return {root.pid for process in processes if (root := _told_by(case, process)) is not None}


def _told_by(case: Case, process: Process | None) -> Process | None:
    """The root of this child, where it ended with the same status."""
    root = case.root_of(process)
    if process is None or root is None or root is process or root.exit_code is None:
        return None
    return root if status_of(process) == root.exit_code else None


def _status_lost(case: Case, process: Process | None, told: set[int]) -> int:
    """1 where a child failed with another status than that by which a sibling ended the job: what it did (a mail, a
    clean-up) was no reason.
    """
    root = case.root_of(process)
    if process is None or root is None or root is process or root.pid not in told or status_of(process) is None:
        return 0
    return 0 if _told_by(case, process) is not None else 1


def status_of(process: Process) -> int | None:
    """Its exit status as a shell says it; None while it is not known."""
    if process.signal is None:
        return process.exit_code
    return 128 + Signals[process.signal] if process.signal in Signals.__members__ else None


def last_line(finding: Draft) -> int:
    """Where in the log its evidence ends."""
    return max((event.record.lineno for event in finding.evidence), default=0)


def _explains(cause: Draft, effect: Draft) -> bool:
    """What fails in an earlier phase explains what the same process met after it: on the same peer, or, where the whole
    process was short of something, anywhere.
    """
    if cause.severity not in ("fatal", "error") or cause.pid != effect.pid:
        return False
    rule = RULES[cause.cause]
    if rule.phase >= RULES[effect.cause].phase:
        return False
    if (cause.time_ns or 0) > (effect.end_ns or effect.time_ns or 0):
        return False
    if rule.of_process:
        return True
    return cause.socket is not None and cause.socket == effect.socket


def _explained(case: Case, process: Process | None) -> int:
    """1 where the failure of this process did not reach its parent: the job went on without it."""
    if process is None or process.parent is None:
        return 0
    parent = case.owner_of(process.parent)
    return 0 if parent is None or case.fate(parent) != "ok" else 1


def _merged(found: list[Draft]) -> list[Draft]:
    kept: dict[tuple[str, str, str | None, str], Draft] = {}
    for finding in sorted(found, key=lambda f: f.end_ns or f.time_ns or 0):
        key = (finding.cause, finding.variant, finding.peer, finding.recovered)
        first = kept.get(key)
        if first is None:
            kept[key] = finding
            continue
        finding.count += first.count
        finding.time_ns = first.time_ns
        finding.evidence = [*first.evidence[:2], *finding.evidence]
        kept[key] = finding
    return list(kept.values())
