"""Steps by which a job tells somebody that it has failed: a mail, a message to a hook. That they fail, too, is no reason."""

from __future__ import annotations

import re

from systrace.model import Process
from systrace.rules.case.index import Case
from systrace.rules.verdict.explaining import status_of

_FAILURE = re.compile(r"(?i)\b(?:fail(?:ed|ure|s|ing)?|errors?|alert|alarm|abort(?:ed|ing)?|crash(?:ed)?|problem)\b")
_MAILERS = frozenset("mail mailx sendmail msmtp ssmtp swaks mutt".split())


def tells_of_failure(case: Case, process: Process | None) -> bool:
    """The job did not end with the status of this step; what the step was given to send says that something had failed, or it
    is a mail after a step that had failed on its own.
    """
    root = case.root_of(process)
    if process is None or root is None or root is process or case.fate(root) != "failed":
        return False
    if status_of(process) == root.exit_code or case.fate(process) != "failed":
        return False
    return _says_so(process) or (_is_mail(process) and _failed_before(case, process, root))


def _says_so(process: Process) -> bool:
    """A sentence among its arguments does; options and addresses are none."""
    return any(" " in word.strip() and not word.startswith("-") and _FAILURE.search(word) for word in process.argv[1:])


def _is_mail(process: Process) -> bool:
    name = process.argv[0].rpartition("/")[2] if process.argv else ""
    return name in _MAILERS or any(word.startswith(("smtp://", "smtps://")) for word in process.argv)


def _failed_before(case: Case, process: Process, root: Process) -> bool:
    """A step that did nothing on the network had failed when this one began."""
    network = {socket.pid for socket in case.clients if socket.is_network}
    began = process.start_ns
    return any(
        other.pid not in network and case.fate(other) == "failed" and (began is None or (other.end_ns or began) < began)
        for other in case.descendants(root)
    )
