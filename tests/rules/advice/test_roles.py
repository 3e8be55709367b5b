"""A peer that is a metadata service or a proxy changes variant and advice, not the cause."""

from __future__ import annotations

from systrace.model import Finding, Input
from systrace.pipeline import analyze


def _root_cause(text: str) -> Finding:
    lines = [f"9 170000000{line}\n".encode() for line in text.strip().splitlines()]
    return analyze([Input("job.strace", lines)]).findings[0]


_CONNECT = (
    "1.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.0001>\n"
    '1.100000 connect(3, {sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("%s")}, 16) = %s\n'
)


def test_a_silent_metadata_service_points_to_the_hop_limit() -> None:
    """connect works, the PUT for a token hangs: the answer's time to live is 1."""
    finding = _root_cause(
        _CONNECT
        % (80, "169.254.169.254", "0 <0.001>")
        + '1.200000 sendto(3, "PUT /latest/api/token HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n", 43, 0, NULL, 0) = 43 <0.0001>\n'
        "1.300000 poll([{fd=3, events=POLLIN}], 1, 1000) = 0 (Timeout) <1.001>\n2.400000 close(3) = 0 <0.0001>\n"
        "2.500000 +++ exited with 1 +++"
    )
    assert (finding.cause, finding.variant) == ("read-timeout", "instance-metadata")
    assert "hop limit" in finding.causes[0]


def test_a_refusing_metadata_service_is_not_called_a_service_that_is_down() -> None:
    """Off the cloud nothing answers there."""
    finding = _root_cause(
        _CONNECT % (80, "169.254.169.254", "-1 ECONNREFUSED (Connection refused) <0.001>")
        + "2.500000 +++ exited with 1 +++"
    )
    assert (finding.cause, finding.variant) == ("connect-refused", "instance-metadata")


def test_a_proxy_is_blamed_as_a_proxy() -> None:
    """CONNECT was sent, and the connection reset."""
    finding = _root_cause(
        _CONNECT
        % (3128, "192.0.2.9", "0 <0.001>")
        + '1.200000 sendto(3, "CONNECT api.example:443 HTTP/1.1\\r\\nHost: api.example:443\\r\\n\\r\\n", 59, 0, NULL, 0)'
        " = 59 <0.0001>\n"
        "1.300000 recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = -1 ECONNRESET (Connection reset by peer) <0.01>\n"
        "2.500000 +++ exited with 1 +++"
    )
    assert (finding.cause, finding.variant, finding.peer) == ("reset-by-peer", "proxy", "192.0.2.9:3128")
    assert "api.example:443" in finding.summary
