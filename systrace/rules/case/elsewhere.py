"""What was learned outside the trace (`observations`): the server's log on this request, probes of this path and peer.

It confirms, refutes or bounds what the lines of the trace suggest. Where it contradicts them, both are said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from systrace.dataclass import dataclass
from systrace.messages.dns import DnsMessage
from systrace.model import Draft, Socket
from systrace.observations import Observation
from systrace.rules.case.index import SECOND, Case
from systrace.rules.case.stalls import Stall
from systrace.words import seconds

if TYPE_CHECKING:
    from systrace.rules.rule import Rule

_SLACK_NS = 2 * SECOND  # logs of whole seconds
_SHARE = 1.05
_FAR_S = 5  # of two clocks
_SHORTEST_NS = 4 * SECOND
_NOT_ASKED = (400, 408)  # the request had not come, or not whole


@dataclass(frozen=True, slots=True)
class ServerWord:
    """What the server's side wrote down of a connection's last request.

    `kind`: "answered", "client gave up", "balancer gave up", "nothing".
    """

    kind: str
    observation: Observation
    after_ns: int | None

    @property
    def sure(self) -> bool:
        """It is this request's line beyond doubt."""
        return bool(self.observation.value.get("certain", True))

    @property
    def its_program(self) -> str:
        """What is to blame where the server still worked."""
        return "the server was still working on it, or stuck: it had the request, and knew when this side left"

    @property
    def text(self) -> str:
        """As a sentence."""
        value, source = self.observation.value, self.observation.source
        if self.kind == "nothing":
            return (
                f"The server's log ({source}) has no line of this request: it went elsewhere, or was lost on the way."
            )
        after = f" after {seconds(self.after_ns)}" if self.after_ns is not None else ""
        status = value.get("status") or "no status"
        offset = value.get("clock_offset_s")
        offset = offset if isinstance(offset, int | float) else 0
        clock = (
            f"; its clock is {abs(offset):g} s {'ahead' if offset > 0 else 'behind'}" if abs(offset) > _FAR_S else ""
        )
        if self.kind == "client gave up":
            said = f"this side gave up{after} ({status}): its answer was not ready"
        elif self.kind == "balancer gave up":
            said = f"the balancer gave up on the server behind it{after} ({status})"
        else:
            size = value.get("bytes")
            said = f"the answer was sent{after}: {status}{f', {size} bytes' if size else ''}"
        return f"The server's log ({source}): {said}{clock}."


def server_word(case: Case, socket: Socket) -> ServerWord | None:
    """On the last request of a connection; None without such a log, or where it could not be decided."""
    found = [
        each
        for each in case.evidence.observations
        if each.subject == socket.uid and each.kind in ("server-answered", "server-saw-nothing")
    ]
    if not found:
        return None
    last = max(found, key=_request_line)
    if socket.turn is not None and socket.turn.events and _request_line(last) < socket.turn.events[0].record.lineno:
        return None  # it is about an earlier request
    after = last.value.get("after_s")
    after_ns = int(after * SECOND) if isinstance(after, int | float) else None
    kind = {"client": "client gave up", "server": "balancer gave up"}.get(str(last.value.get("gave_up")), "answered")
    return ServerWord("nothing" if last.kind == "server-saw-nothing" else kind, last, after_ns)


def _request_line(observation: Observation) -> int:
    line = observation.value.get("request_line")
    return line if isinstance(line, int) else 0


def answer_lost(case: Case, stall: Stall) -> ServerWord | None:
    """The server had answered while the job still waited, and not a byte came: the path had lost the connection by then."""
    word = server_word(case, stall.socket)
    if word is None or word.kind != "answered" or word.after_ns is None or stall.waited_ns is None:
        return None
    value = word.observation.value
    if stall.phase != "answer" or value.get("bytes") == 0 or value.get("status") in _NOT_ASKED:
        return None
    if word.after_ns < _SHORTEST_NS:
        return None  # nothing forgets a connection as soon
    late = word.after_ns * _SHARE + _SLACK_NS
    return word if stall.waited_ns > late else None


def blames_server(case: Case, stall: Stall) -> ServerWord | None:
    """The server knew that the client left, so the path was whole, and its answer was not ready."""
    word = server_word(case, stall.socket)
    return word if word is not None and word.kind == "client gave up" else None


def path_limit(case: Case, socket: Socket) -> Observation | None:
    """A measured limit of silence on the way to this peer, the last one."""
    if socket.peer is None:
        return None
    subjects = {str(socket.peer), f"{socket.name}:{socket.peer.port}" if socket.name else ""}
    found = [each for each in case.evidence.observations if each.kind == "path-limit" and each.subject in subjects]
    return found[-1] if found else None


def bracket(observation: Observation) -> tuple[float, float | None]:
    """(seconds of silence that were survived, seconds that were not; None: none is known)."""
    above, below = observation.value.get("limit_above_s"), observation.value.get("limit_below_s")
    return (
        float(above) if isinstance(above, int | float) else 0.0,
        float(below) if isinstance(below, int | float) else None,
    )


def heed_elsewhere(case: Case, finding: Draft) -> None:
    """Add to a finding what is known of its peer from elsewhere, and say what that proves."""
    from systrace.rules.rule import RULES

    socket = case.evidence.sockets.get(finding.socket or "")
    if socket is None:
        return
    rule, word = RULES[finding.cause], server_word(case, socket)
    about_answer = rule.no_answer or (word is not None and word.kind == "balancer gave up")
    if word is not None and about_answer and word.text not in finding.summary:
        finding.summary = f"{finding.summary} {word.text}"
    about = (each for each in case.evidence.observations if _is_about(each, finding, socket))
    probed = [each for each in about if _concerns(each, rule)]
    told = [text for text in map(_sentence_of, _by_source(probed)) if text not in finding.summary]
    if not told:
        return
    finding.summary = " ".join([finding.summary, *told])
    if not all(_configured(each) for each in probed):
        finding.next_steps = [step for step in finding.next_steps if not step.command.startswith(_SETTLED)]
    if any(each.kind in rule.proven_by and _proves(each, finding) for each in probed):
        finding.confidence = "confirmed"


def _configured(observation: Observation) -> bool:
    """It was read from a cloud's rules; nothing was tried."""
    return observation.value.get("configured") is True


def _concerns(observation: Observation, rule: Rule) -> bool:
    """What a cloud's rules say of connections, or of silence, is said of findings about these."""
    if not _configured(observation):
        return True
    return observation.kind in rule.proven_by or (observation.kind != "path-limit" and rule.of_connect)


_SETTLED = ("nc ", "dig ", "getent ", "ping ", "tracepath ", "traceroute ", "mtr ", "openssl s_client")


def _is_about(observation: Observation, finding: Draft, socket: Socket) -> bool:
    """A probe of this peer, or of what this nameserver was asked, that learned something."""
    value, subject = observation.value, observation.subject
    if (
        observation.kind.startswith("server-")
        or not isinstance(value.get("text"), str)
        or value.get("outcome") == "unknown"
    ):
        return False
    peer = socket.peer.host if socket.peer is not None else ""
    asked = {message.question.lower() for message in socket.messages if isinstance(message, DnsMessage)}
    if asked and value.get("server", peer) == peer and any(_is_name(subject.lower(), question) for question in asked):
        return True
    return subject in {str(socket.peer), peer, socket.name, finding.peer} - {"", None}


def _is_name(subject: str, question: str) -> bool:
    """The name itself, or with a domain of the search list behind it (resolv.conf(5))."""
    return question == subject or ("." not in subject and question.startswith(f"{subject}."))


def _by_source(observations: Sequence[Observation]) -> list[tuple[str, list[str]]]:
    """What each of them told, once."""
    found: dict[str, dict[str, None]] = {}
    for each in observations:
        lead = "Read by" if _configured(each) else "Probed by"
        who = f"{lead} {each.source or 'somebody else'}"
        found.setdefault(who, {})[str(each.value["text"]).rstrip(".")] = None
    return [(who, list(texts)) for who, texts in found.items()]


def _sentence_of(told: tuple[str, list[str]]) -> str:
    who, texts = told
    return f"{who}: {'; '.join(texts)}."


def _proves(observation: Observation, finding: Draft) -> bool:
    """It says what the finding says; of packets that die on the way only that they do. A limit on silence proves what outlasted
    it, where the log shows whether keepalive was on.
    """
    value = observation.value
    if observation.kind == "path-limit":
        below_s, lasted_ns = bracket(observation)[1], finding.duration_ns or 0
        return finding.confidence == "likely" and below_s is not None and lasted_ns >= below_s * SECOND
    silent = observation.kind == "path-blocked" and value.get("how") != "rejected"
    return bool(value.get("cause", finding.cause if silent else "") == finding.cause)
