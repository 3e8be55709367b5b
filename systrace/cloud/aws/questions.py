"""What is asked: a peer as the job, or the user, names it, and what the job was seen to do there."""

from __future__ import annotations

from systrace.cloud.aws.ports import EPHEMERAL, Ports
from systrace.dataclass import dataclass

_PROTOCOLS = {"tcp": "6", "udp": "17"}


@dataclass(frozen=True, slots=True)
class Question:
    """One address and port."""

    peer: str  # an IP address
    port: int
    name: str = ""  # that it was looked up by
    protocol: str = "tcp"  # or udp
    local: str = ""  # the job's own address, where it is known
    answers: Ports = EPHEMERAL  # the job's ports that answers come to: those it used, else what its host chooses from
    seen: bool = False  # `answers` are ports that the log shows
    silence_s: float | None = None  # the longest that the log shows on such a connection, or that it ended in
    survived_s: float = 0.0  # the longest silence after which bytes came all the same
    keepalive_s: float | None = None  # silence before the first keepalive probe; None: none is known to be sent

    @property
    def subject(self) -> str:
        """As observations name it: address:port."""
        return f"[{self.peer}]:{self.port}" if ":" in self.peer else f"{self.peer}:{self.port}"

    def is_silent_for(self, limit_s: float) -> bool:
        """The job was silent for longer than that, no keepalive came first, and nothing shows that it was borne."""
        if self.silence_s is None or self.silence_s < limit_s or self.survived_s > limit_s:
            return False
        return self.keepalive_s is None or self.keepalive_s >= limit_s

    @property
    def number(self) -> str:
        """Of its protocol (IANA), as text."""
        return _PROTOCOLS[self.protocol]

    @property
    def service(self) -> str:
        """For people: "TCP 443"."""
        return f"{self.protocol.upper()} {self.port}"
