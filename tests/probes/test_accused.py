"""Whom a log accuses, and what is known of it from there."""

from pathlib import Path

import pytest

from systrace import Input, analyze
from systrace.model import Analysis
from systrace.probes.accused import accused, foreign_addresses

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def analysis(text: str) -> Analysis:
    return analyze([Input("job.strace", text.encode().splitlines())])


@pytest.mark.parametrize(
    ("sample", "host", "port", "used"),
    [
        ("refused-postgres", "db.corp.example", 5432, ("203.0.113.10",)),
        ("hung-read", "queue.corp.example", 6379, ("203.0.113.10",)),
        ("dns-dead", "rates.partner.example", 0, ()),
    ],
)
def test_the_accused_of_a_sample(sample: str, host: str, port: int, used: tuple[str, ...]) -> None:
    """By its name, with the address that the job used and the nameserver that it asked."""
    with (SAMPLES / sample / "trace.strace").open("rb") as log:
        found = analyze([Input("trace.strace", log)])
    (target,) = accused(found)
    assert (target.host, target.port, target.used, target.nameservers) == (host, port, used, ("203.0.113.53",))
    assert foreign_addresses(found.evidence) in ([], ["192.0.2.10"])


def test_a_healthy_log_accuses_nobody() -> None:
    with (SAMPLES / "healthy" / "trace.strace").open("rb") as log:
        assert accused(analyze([Input("trace.strace", log)])) == []


REFUSED = """9 1700000000.000001 execve("/bin/job", ["job"], 0x1 /* 3 vars */) = 0 <0.000001>
9 1700000000.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000001>
9 1700000000.200000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("203.0.113.9")}, 16) = 0 <0.001>
9 1700000000.250000 write(3, "GET /a?token=x HTTP/1.1\\r\\nHost: api.example\\r\\n\\r\\n", 46) = 46 <0.001>
9 1700000000.300000 read(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n", 4096) = 38 <0.001>
9 1700000000.400000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 4 <0.000001>
9 1700000000.500000 connect(4, {sa_family=AF_INET, sin_port=htons(5432), sin_addr=inet_addr("203.0.113.9")}, 16) \
= -1 ECONNREFUSED (Connection refused) <0.001>
9 1700000000.600000 exit_group(1) = ?
9 1700000000.700000 +++ exited with 1 +++
"""


def test_an_open_port_of_the_same_host_is_the_control() -> None:
    (target,) = accused(analysis(REFUSED))
    assert (target.host, target.port, target.controls) == ("203.0.113.9", 5432, (80,))


def test_the_header_of_a_recording_names_the_nameservers() -> None:
    header = '# systrace: {"resolv_conf": {"nameservers": ["192.0.2.53"], "search": ["corp.example"], "options": []}}\n'
    (target,) = accused(analysis(header + REFUSED))
    assert (target.nameservers, target.search) == (("192.0.2.53",), ("corp.example",))


TUNNEL = REFUSED.replace("GET /a?token=x HTTP/1.1", "CONNECT api.example:443 HTTP/1.1").replace(
    'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n", 4096) = 38', '", 4096) = 0'
)


def test_a_tunnel_is_asked_of_the_proxy() -> None:
    found = [each for each in accused(analysis(TUNNEL)) if each.proxy is not None]
    assert [(each.host, each.port, each.proxy) for each in found] == [("api.example", 443, ("203.0.113.9", 80))]


DEGRADED = "".join(
    f"""9 17000000{at}.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.01>
9 17000000{at}.100000 connect(3, {{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("203.0.113.5")}}, 16) = 0 <0.01>
9 17000000{at}.200000 sendto(3, "POST /search HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 3\\r\\n\\r\\na=1", 56,\
 0, NULL, 0) = 56 <0.01>
9 17000000{at}.300000 {waits}
9 17000000{at + 6}.200000 close(3) = 0 <0.01>
"""
    for at, waits in (
        (10, "poll([{fd=3, events=POLLIN}], 1, 5000) = 0 (Timeout) <5.005>"),
        (20, 'recvfrom(3, "HTTP/1.1 204 No\\r\\n\\r\\n", 99, 0, NULL, NULL) = 19 <0.1>'),
    )
)


def test_a_job_that_ended_well_accuses_nobody() -> None:
    """A warning is no reason to load a peer with questions."""
    found = analysis(DEGRADED + "9 1700000028.000000 +++ exited with 0 +++\n")
    assert found.verdict.outcome == "degraded"
    assert found.verdict.finding is not None
    assert accused(found) == []


UDP = """9 1700000000.000000 socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) = 3 <0.01>
9 1700000000.010000 connect(3, {sa_family=AF_INET, sin_port=htons(123), sin_addr=inet_addr("203.0.113.1")}, 16) = 0 <0.01>
9 1700000000.020000 sendto(3, "hellohello", 10, 0, NULL, 0) = 10 <0.01>
9 1700000000.030000 poll([{fd=3, events=POLLIN}], 1, 500000) = 0 (Timeout) <500.0>
9 1700000500.400000 close(3) = 0 <0.01>
9 1700000500.500000 exit_group(1) = ?
9 1700000500.600000 +++ exited with 1 +++
"""


def test_a_peer_on_udp_is_not_asked_over_tcp() -> None:
    found = analysis(UDP)
    assert found.verdict.peer is not None
    assert accused(found) == []
