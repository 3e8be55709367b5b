"""The culprit is named first in pairs of a good and a bad run, and nothing is found in pairs of good ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from systrace.compare import compare
from systrace.compare.nouns import Comparison
from tests.compare.scribe import Log, Style, nightly

OTHER = Style(clock="-tt", pid=911, port=51000, fd=7, start=1_795_100_000.5, pace=1.3)
REFUSED = "-1 ECONNREFUSED (Connection refused)"
HTML = "<html><head><title>Maintenance</title></head></html>"


def compared(good: Log, bad: Log) -> Comparison:
    return compare(good.analysis(), bad.analysis())


# --------------------------------------------------------------------------------------------------------- good and bad


def begun(*, connected: bool = True) -> tuple[Log, int]:
    """The job as it begins on a bad day."""
    log = Log(OTHER)
    log.begins("export.py", "--full")
    log.looks_up("api.example", "192.0.2.77")
    return log, log.connects("192.0.2.77") if connected else 0


def refused() -> Log:
    log, _ = begun(connected=False)
    log.connects("192.0.2.77", result=REFUSED)
    log.says("ConnectionRefusedError: [Errno 111] Connection refused")
    log.ends(1)
    return log


def refused_unnamed() -> Log:
    """The name is in the good log only, in its requests' Host."""
    log = Log(OTHER)
    log.begins("export.py", "--full")
    log.connects("192.0.2.77", result=REFUSED)
    log.connects("192.0.2.78", result=REFUSED)
    log.says("ConnectionRefusedError: [Errno 111] Connection refused")
    log.ends(1)
    return log


def connect_timeout() -> Log:
    log, _ = begun(connected=False)
    log.connects("192.0.2.77", result="-1 ETIMEDOUT (Connection timed out)", took=131.2)
    log.says("TimeoutError: [Errno 110] Connection timed out")
    log.ends(1)
    return log


def no_such_name() -> Log:
    log = Log(OTHER)
    log.begins("export.py", "--full")
    log.looks_up("api.example", "", code=3)
    log.says("socket.gaierror: [Errno -2] Name or service not known")
    log.ends(1)
    return log


def reset() -> Log:
    log, fd = begun()
    log.fetches(fd, "/v1/orders/1?since=2026-11-30")
    log.asks(fd, "GET /v1/orders/2?since=2026-11-30 HTTP/1.1|Host: api.example||")
    log.call(f"recvfrom({fd}, 0x7ffd1c2d, 65536, 0, NULL, NULL) = -1 ECONNRESET (Connection reset by peer)", 0.05)
    log.says("ConnectionResetError: [Errno 104] Connection reset by peer")
    log.ends(1)
    return log


def hung() -> Log:
    log, fd = begun()
    for number in (1, 2):
        log.fetches(fd, f"/v1/orders/{number}?since=2026-11-30")
    log.asks(fd, "GET /v1/orders/3?since=2026-11-30 HTTP/1.1|Host: api.example||")
    log.call(f"recvfrom({fd}, 0x7ffd1c2d, 65536, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted)", 40)
    log.call("--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=1, si_uid=0} ---", -1)
    log.call("+++ killed by SIGTERM +++", -1)
    return log


def status_503() -> Log:
    log, fd = begun()
    log.fetches(fd, "/v1/orders/1?since=2026-11-30")
    log.fetches(fd, "/v1/orders/2?since=2026-11-30", body="busy", status="503 Service Unavailable", kind="text/plain")
    log.says("HTTPError: HTTP Error 503: Service Unavailable")
    log.ends(1)
    return log


def html() -> Log:
    log, fd = begun()
    log.fetches(fd, "/v1/orders/1?since=2026-11-30", body=HTML, kind="text/html")
    log.says("json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)")
    log.ends(1)
    return log


def truncated() -> Log:
    log, fd = begun()
    log.fetches(fd, "/v1/orders/1?since=2026-11-30", length="4096")
    log.gets(fd, "")
    log.says("http.client.IncompleteRead: IncompleteRead(19 bytes read, 4077 more expected)")
    log.ends(1)
    return log


def empty_reply() -> Log:
    log, fd = begun()
    log.asks(fd, "GET /v1/orders/1?since=2026-11-30 HTTP/1.1|Host: api.example||")
    log.gets(fd, "", after=0.3)
    log.says("http.client.RemoteDisconnected: Remote end closed connection without response")
    log.ends(1)
    return log


def cache_refuses() -> Log:
    log, fd = begun()
    for number in (1, 2, 3):
        log.fetches(fd, f"/v1/orders/{number}?since=2026-11-30")
    log.fetches(fd, "/v1/done", method="POST", after=0.02)
    log.closes(fd)
    db = log.connects("192.0.2.40", 6379)
    log.asks(db, "*3|$3|SET|$8|last:run|$1|7|")
    log.gets(db, "-READONLY You can't write against a read only replica.|", 0.004)
    log.says("redis.exceptions.ReadOnlyError: You can't write against a read only replica.")
    log.ends(1)
    return log


def slow() -> Log:
    log, fd = begun()
    log.fetches(fd, "/v1/orders/1?since=2026-11-30")
    log.fetches(fd, "/v1/orders/2?since=2026-11-30", after=4.2)
    log.fetches(fd, "/v1/orders/3?since=2026-11-30")
    log.fetches(fd, "/v1/done", method="POST", after=0.02)
    log.closes(fd)
    stores(log)
    return log


def retried() -> Log:
    log, fd = begun()
    log.fetches(fd, "/v1/orders/1?since=2026-11-30")
    log.fetches(fd, "/v1/orders/2?since=2026-11-30", body="busy", status="502 Bad Gateway", kind="text/plain")
    log.fetches(fd, "/v1/orders/2?since=2026-11-30")
    log.fetches(fd, "/v1/orders/3?since=2026-11-30")
    log.fetches(fd, "/v1/done", method="POST", after=0.02)
    log.closes(fd)
    stores(log)
    return log


def other_server() -> Log:
    log, fd = begun()
    for number in (1, 2, 3):
        log.fetches(fd, f"/v1/orders/{number}?since=2026-11-30")
    log.fetches(fd, "/v1/done", method="POST", after=0.02)
    log.closes(fd)
    stores(log, port=6380)
    return log


def stores(log: Log, port: int = 6379) -> None:
    db = log.connects("192.0.2.40", port)
    log.asks(db, "*3|$3|SET|$8|last:run|$1|7|")
    log.gets(db, "+OK|", 0.004)
    log.closes(db)
    log.ends()


BAD: dict[str, tuple[Callable[[], Log], str, str, str]] = {  # kind, words, peer of the first difference
    "refused": (refused, "cause", "connect-refused", "api.example:80"),
    "refused, without a name": (refused_unnamed, "cause", "connect-refused", "192.0.2.78:80"),
    "connect timeout": (connect_timeout, "cause", "connect-timeout", "api.example:80"),
    "no such name": (no_such_name, "cause", "dns-error", "api.example"),
    "reset": (reset, "cause", "reset-by-peer", "api.example:80"),
    "hung": (hung, "cause", "hung-read", "api.example:80"),
    "status": (status_503, "cause", "http-error-status", "api.example:80"),
    "html": (html, "cause", "html-instead-of-json", "api.example:80"),
    "truncated": (truncated, "cause", "truncated-response", "api.example:80"),
    "empty reply": (empty_reply, "cause", "empty-reply", "api.example:80"),
    "refused by a cache": (cache_refuses, "cause", "READONLY", "192.0.2.40:6379"),
    "slow": (slow, "time", "4.2 s in BAD, 10 ms in GOOD", "api.example:80"),
    "retried": (retried, "only-bad", "502", "api.example:80"),
    "another server": (other_server, "peer", "192.0.2.40:6380", "192.0.2.40:6380"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_culprit_comes_first(name: str) -> None:
    made, kind, words, peer = BAD[name]
    told = compared(nightly(), made())
    first = told.differences[0]
    assert (first.kind, first.peer) == (kind, peer), first
    assert words in first.text
    assert first.bad_place is not None
    assert first.bad_place.line > 0
    parted = told.differences[told.parted or 0]
    assert parted.peer.partition(":")[2] == peer.partition(":")[2]


def test_it_says_what_the_good_run_got_at_that_step() -> None:
    told = compared(nightly(), status_503())
    assert (
        "in GOOD the same step (GET http://api.example/v1/orders/2?since=2026-11-29): 200" in told.differences[0].text
    )
    assert told.differences[0].good_place is not None


def test_a_second_try_is_held_against_the_step_of_the_first() -> None:
    first = compared(nightly(), refused_unnamed()).differences[0]
    assert "in GOOD the same step (connect to api.example:80): connected" in first.text


# -------------------------------------------------------------------------------------------------------- good and good


def elsewhere() -> Log:
    """Other process ids, ports and descriptors, another address behind the name."""
    return nightly(OTHER, address="198.51.100.9")


def side_by_side(*, first: bool) -> Log:
    """Two connections at once; which comes first is chance."""
    log = Log(Style() if first else OTHER)
    log.begins("sync.py")
    names = ("a.example", "b.example")
    fds = {name: log.connects(address) for name, address in zip(names, ("192.0.2.1", "192.0.2.2"), strict=True)}
    order = [(name, page) for page in range(6) for name in (names if first or page % 2 else names[::-1])]
    for name, page in order if first else sorted(order, reverse=True):
        log.fetches(fds[name], f"/page/{page}", host=name, status="404 Not Found" if page == 3 else "200 OK")
    log.ends()
    return log


def polled(times: int) -> Log:
    """It asks until something is done."""
    log = Log(Style(pid=4000 + times))
    log.begins("wait.py")
    fd = log.connects("192.0.2.1")
    log.fetches(fd, "/jobs", method="POST", body='{"id": 7}')
    for _ in range(times):
        log.fetches(fd, f"/jobs/{times}", body='{"state": "running"}')
    log.ends()
    return log


def pooled(style: Style, connections: int, addresses: Sequence[str], *, named: bool = True) -> Log:
    """An S3-like service: each connection goes to another address behind the name, and carries whatever comes."""
    log = Log(style)
    log.begins("upload.py")
    pool = []
    for number in range(connections):
        address = addresses[number % len(addresses)]
        if named:
            log.looks_up("bucket.s3.example", address)
        pool.append(log.connects(address))
    for part in range(1, 13):
        target = f"/backup/2026-11-{style.pid % 28 + 1:02}/db.dump?partNumber={part}&uploadId={style.pid}aZ"
        log.fetches(pool[part * style.pid % connections], target, body="", method="PUT", host="bucket.s3.example")
    log.ends()
    return log


def busy() -> Log:
    """Noise: all a little slower."""
    return nightly(Style(pace=1.9), after=0.09)


GOOD: dict[str, tuple[Callable[[], Log], Callable[[], Log]]] = {
    "the same again": (nightly, nightly),
    "other numbers": (nightly, elsewhere),
    "-tt": (nightly, lambda: nightly(Style(clock="-tt"))),
    "-t": (nightly, lambda: nightly(Style(clock="-t", start=1_795_000_000.9))),
    "-r": (nightly, lambda: nightly(Style(clock="-r"))),
    "no clock": (nightly, lambda: nightly(Style(clock=""))),
    "-ff": (nightly, lambda: nightly(Style(one_file_each=True))),
    "an old strace": (nightly, lambda: nightly(Style(old=True, clock="-tt"))),
    "32 bytes of each string": (nightly, lambda: nightly(Style(short=True))),
    "other ids": (nightly, lambda: nightly(OTHER, ids=(901, 902, 903))),
    "noise": (nightly, busy),
    "other order": (lambda: side_by_side(first=True), lambda: side_by_side(first=False)),
    "asked more often": (lambda: polled(4), lambda: polled(6)),
    "S3-like": (
        lambda: pooled(Style(), 4, ["192.0.2.1", "192.0.2.2"]),
        lambda: pooled(OTHER, 6, ["198.51.100.1", "198.51.100.2", "198.51.100.3"]),
    ),
    "S3-like, names not looked up": (
        lambda: pooled(Style(), 3, ["192.0.2.1", "192.0.2.2"]),
        lambda: pooled(OTHER, 3, ["198.51.100.1"], named=False),
    ),
    "both fail alike": (status_503, status_503),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
def test_two_good_runs_have_no_difference_that_matters(name: str, turned: bool) -> None:
    one, other = (made() for made in GOOD[name][:: -1 if turned else 1])
    told = compared(one, other)
    assert not told.differences, told.differences
    assert told.parted is None


def test_a_clock_of_whole_seconds_is_no_slow_server() -> None:
    before, now = nightly(Style(clock="-t", start=1_795_000_000.999)), nightly(Style(clock="-t", start=1_795_000_000.0))
    assert not compared(before, now).differences
