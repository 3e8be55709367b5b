"""Questions that are asked often, by name. Times of day are UTC."""

from __future__ import annotations

from systrace.dataclass import dataclass

SILENCE_S = 300  # of a connection, after which the first NAT gateways and balancers forget it (AWS: 350)

_WRONG = "outcome IN ('failed', 'hung', 'degraded', 'inconclusive')"
_MINUTE = "'%Y-%m-%d %H:%M'"
_FIRST = f"strftime(make_timestamp((min(start_s) * 1e6)::BIGINT), {_MINUTE}) AS first_utc"
_LAST = f"strftime(make_timestamp((max(start_s) * 1e6)::BIGINT), {_MINUTE}) AS last_utc"
_PLACE = "coalesce(host, recording)"  # a recording that names no host is one of its own
_TALKS = f"""talks AS (
    SELECT {_PLACE} AS place, unnest(peers) AS peer FROM recordings
    UNION SELECT {_PLACE}, peer FROM recordings WHERE peer IS NOT NULL AND {_WRONG}
), fails AS (SELECT {_PLACE} AS place, peer FROM recordings WHERE peer IS NOT NULL AND {_WRONG})"""


@dataclass(frozen=True, slots=True)
class Question:
    """What it answers, and the statement."""

    about: str
    sql: str


def _quantiles(column: str, peer: str) -> str:
    return f"""{peer} AS peer, count(*) AS count,
    round(quantile_cont({column}, 0.5), 6) AS p50_s, round(quantile_cont({column}, 0.99), 6) AS p99_s,
    max({column}) AS max_s"""


QUESTIONS = {
    "top-causes": Question(
        "what went wrong, how often, on how many hosts, since when",
        f"""SELECT cause, count(*) AS recordings, count(DISTINCT host) AS hosts, {_FIRST}, {_LAST}
FROM recordings WHERE {_WRONG} GROUP BY cause ORDER BY recordings DESC, cause""",
    ),
    "failing-peers": Question(
        "on how many of the hosts that talk to a peer it fails: on all, it is the peer",
        f"""WITH {_TALKS}
SELECT peer, count(DISTINCT fails.place) AS fails_on, count(DISTINCT talks.place) AS of_hosts
FROM talks LEFT JOIN fails USING (place, peer) GROUP BY peer HAVING fails_on > 0
ORDER BY fails_on DESC, fails_on / of_hosts DESC, peer""",
    ),
    "failing-hosts": Question(
        "with how many of its peers a host fails: with most, it is the host",
        f"""WITH {_TALKS}
SELECT place AS host, count(DISTINCT fails.peer) AS fails_with, count(DISTINCT talks.peer) AS of_peers
FROM talks LEFT JOIN fails USING (place, peer) WHERE place IN (SELECT host FROM recordings)
GROUP BY place HAVING fails_with > 0
ORDER BY fails_with / of_peers DESC, fails_with DESC, host""",
    ),
    "first-byte": Question(
        "seconds from a request to the answer's first byte, by peer",
        f"""SELECT {_quantiles("first_byte_s", "peer_name")}
FROM exchanges JOIN sockets ON exchanges.recording = sockets.recording AND exchanges.socket = sockets.id
WHERE exchanges.role = 'client' AND first_byte_s IS NOT NULL GROUP BY peer_name ORDER BY p99_s DESC, peer""",
    ),
    "connect": Question(
        "seconds that successful connects took, by peer",
        f"""SELECT {_quantiles("connect_s", "peer_name")}
FROM sockets WHERE role = 'client' AND type = 'stream' AND family IN ('inet', 'inet6') AND connect_s IS NOT NULL
GROUP BY peer_name ORDER BY p99_s DESC, peer""",
    ),
    "silent-connections": Question(
        f"connections without keepalive that were silent for more than {SILENCE_S} s: something on the way may forget them",
        f"""SELECT peer_name AS peer, longest_silence_s, keepalive_on, array_to_string(causes, ', ') AS causes, host, path, id
FROM sockets JOIN recordings USING (recording)
WHERE longest_silence_s > {SILENCE_S} AND keepalive_on IS NOT TRUE AND type = 'stream'
    AND family IN ('inet', 'inet6') AND role IN ('client', 'server')
ORDER BY longest_silence_s DESC, path, id""",
    ),
    "causes-by-week": Question(
        "how often each cause was the answer, by week (its Monday)",
        f"""SELECT strftime(date_trunc('week', make_timestamp((start_s * 1e6)::BIGINT)), '%Y-%m-%d') AS week, cause,
    count(*) AS recordings, count(DISTINCT host) AS hosts
FROM recordings WHERE {_WRONG} AND start_s IS NOT NULL GROUP BY week, cause ORDER BY week, recordings DESC, cause""",
    ),
}
