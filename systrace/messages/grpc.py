"""How gRPC calls ended."""

from __future__ import annotations

from systrace.dataclass import dataclass
from systrace.model import Message


@dataclass(slots=True)
class GrpcStatus(Message):
    """How a call ended, as its server (or a proxy) said."""

    code: int = 0
    name: str = "OK"
    text: str = ""  # grpc-message, printable
    method: str = ""  # "/package.Service/Method", "" when the request is not known
    stream_id: int = 0

    @property
    def notable(self) -> bool:
        """Failed: kept in preference to others."""
        return self.code != 0
