"""What a peer on the command line is."""

import pytest

from systrace.errors import UsageError
from systrace.probes.target import Target, parsed


@pytest.mark.parametrize(
    ("text", "host", "port", "url"),
    [
        ("db.example:5432", "db.example", 5432, ""),
        ("192.0.2.1:80", "192.0.2.1", 80, ""),
        ("[2001:DB8::1]:443", "2001:db8::1", 443, ""),
        ("https://api.example/v1?x=1", "api.example", 443, "https://api.example/v1?x=1"),
        ("http://user:secret@api.example:8080", "api.example", 8080, "http://api.example:8080/"),
        ("amqp://queue.example:5672", "queue.example", 5672, "amqp://queue.example:5672/"),
    ],
)
def test_a_peer_is_read(text: str, host: str, port: int, url: str) -> None:
    """Credentials of a URL are gone."""
    target = parsed(text)
    assert target is not None
    assert (target.host, target.port, target.url) == (host, port, url)


@pytest.mark.parametrize("text", ["job.strace", "2001:db8::1:80", "host:", "host:http", "-x y:80", "a b:80"])
def test_what_is_no_peer_is_none(text: str) -> None:
    """It may be a file."""
    assert parsed(text) is None


@pytest.mark.parametrize(
    "text", ["host:0", "host:65536", "http://host:99999/", "ftp://host/", "http:///x", "http://[x/"]
)
def test_a_wrong_peer_is_said(text: str) -> None:
    with pytest.raises(UsageError):
        parsed(text)


def test_few_connections_go_where_they_are_counted() -> None:
    """MaxStartups, max_connections, fail2ban."""
    assert [Target("a", port).most_connections for port in (22, 3306, 5432, 8080, 0)] == [6, 6, 6, 16, 0]


def test_tls_is_known_by_port_url_or_trace() -> None:
    """Else no ClientHello is sent."""
    targets = [Target("a", 443), Target("a", 80), Target("a", 80, protocol="tls"), Target("a", 80, url="https://a:80/")]
    assert [target.tls for target in targets] == [True, False, True, True]


def test_a_port_that_is_common_for_tls_does_not_outweigh_what_was_seen() -> None:
    """No ClientHello to a plain service on 8443."""
    targets = [Target("a", 8443, protocol="http"), Target("a", 8443, url="http://a:8443/"), Target("a", 8443)]
    assert [target.tls for target in targets] == [False, False, True]
