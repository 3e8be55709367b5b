"""`systrace check` against real faults behind two routers, as root and as an ordinary user without any right."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import network
from tests.lab.network import DNS, ROUTER_IN
from tests.lab.servers import filled, running
from tests.probes.certificates import Authority
from tests.probes.chain import BETWEEN_2, Chain, answer, serving, texts

FORBIDDEN = network.forbidden()
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(FORBIDDEN), reason=FORBIDDEN or "-"),
]

DROPPED, REJECTED, REFUSED, NARROW, HOLE, FULL, GOOD = (f"203.0.113.{n}" for n in (10, 11, 12, 13, 14, 15, 16))
NOBODY_THERE = "203.0.113.99"
SILENT_NS, DENYING_NS = "203.0.113.54", "203.0.113.55"
LOG = f"""9 1700000000.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000001>
9 1700000000.200000 connect(3, {{sa_family=AF_INET, sin_port=htons(22), sin_addr=inet_addr("{DROPPED}")}}, 16) = 0 <0.001>
9 1700000000.300000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 4 <0.000001>
9 1700000000.400000 connect(4, {{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("{DROPPED}")}}, 16) \
= -1 ETIMEDOUT (Connection timed out) <127.0>
9 1700000128.000000 exit_group(1) = ?
9 1700000128.100000 +++ exited with 1 +++
"""
NAME = "www.corp.example"  # every name is GOOD's, by the nameserver


@dataclass(frozen=True)
class SetUp:
    """What is checked, and what must be said."""

    words: tuple[str, ...]
    cause: str
    told: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = (DNS,)


SET_UPS = {
    "drop at the second router": SetUp((f"{DROPPED}:80",), "connect-timeout", (f"after hop 2 ({BETWEEN_2})",)),
    "the same, of a log": SetUp(
        ("job.strace",), "connect-timeout", ("port 22 of the same host answers", "after hop 2")
    ),
    "reject at the first": SetUp((f"{REJECTED}:80",), "unreachable", (f"{ROUTER_IN} (ICMP 3/13), hop 1,",)),
    "refused": SetUp((f"{REFUSED}:80",), "connect-refused"),
    "no such host": SetUp((f"{NOBODY_THERE}:80",), "unreachable", (f"{BETWEEN_2} (ICMP 3/1)",)),
    "dead first nameserver": SetUp(
        (f"http://{NAME}/",), "dns-timeout", (f"{SILENT_NS} did not answer", f"{NAME} is {GOOD}"), (SILENT_NS, DNS)
    ),
    "no such name": SetUp((f"{NAME}:80",), "dns-error", ("NXDOMAIN",), (DENYING_NS,)),
    "expired certificate": SetUp((f"{NAME}:8443",), "tls-error", ("has expired on 20",)),
    "wrong name": SetUp(
        ("db.corp.example:443",), "tls-error", (f"for another name than db.corp.example: it names {NAME}",)
    ),
    "narrow path, ICMP tells": SetUp((f"http://{NARROW}/", "--http"), "healthy", ("packets of up to 1400 bytes pass",)),
    "narrow path, ICMP lost": SetUp(
        (f"http://{HOLE}/", "--http"), "send-blocked", ("never acknowledged", "Packets of 1400")
    ),
    "full backlog": SetUp((f"{FULL}:80",), "connect-timeout", ("did not answer",)),
    "healthy": SetUp((f"https://{NAME}/", "--http"), "healthy", ("verified", "HEAD /: 200 (server: lab)")),
    "healthy, nothing sent": SetUp((f"{GOOD}:80",), "healthy"),
}


def tls_server(chain: Chain, certificate: Path, where: str) -> AbstractContextManager[None]:
    return serving(chain, str(Path(__file__).with_name("tls_server.py")), str(certificate), where)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    """The network with all faults."""
    with ExitStack() as stack:
        chain = stack.enter_context(Chain())
        chain.firewall(chain.r1, f"forward ip daddr {REJECTED} reject with icmp type admin-prohibited")
        chain.firewall(
            chain.r2,
            f"forward ip daddr {DROPPED} tcp dport 80 drop",
            f"forward ip daddr {SILENT_NS} drop",
            f"forward ip daddr {HOLE} ip length > 1400 drop",
            f"forward ip saddr {HOLE} ip length > 1400 drop",
        )
        network.ip("-n", chain.r1.name, "route", "add", NARROW, "via", BETWEEN_2, "mtu", "lock", "1400")
        (chain.folder / "job.strace").write_text(LOG)
        stack.enter_context(running(chain.server, "reading", DROPPED, 22))
        for address in (NARROW, HOLE, GOOD):
            stack.enter_context(running(chain.server, "good", address, 80))
        stack.enter_context(running(chain.server, "not-accepting", FULL, 80, 3600))
        stack.enter_context(filled(chain.client, FULL, 80))
        stack.enter_context(running(chain.server, "name-server", DNS, 53, 16))
        stack.enter_context(running(chain.server, "name-server", DENYING_NS, 53, 0))
        authority = Authority(chain.folder)
        stack.enter_context(tls_server(chain, authority.signed(NAME), f"{GOOD}:443"))
        stack.enter_context(tls_server(chain, authority.signed(NAME, days=-3), f"{GOOD}:8443"))
        yield chain


def test_each_fault_is_named(chain: Chain) -> None:
    """All at once, for most of the time is waiting."""
    started = {
        (name, user): chain.start(
            *("check", *each.words, "--format", "json"),
            user=user, resolver=chain.resolver(*each.nameservers), SSL_CERT_FILE=str(chain.folder / "ca.pem"),
        )
        for name, each in SET_UPS.items()
        for user in ("nobody", "root")
    }  # fmt: skip
    wrong = []
    for (name, user), process in started.items():
        status, said = answer(process)
        wanted = SET_UPS[name]
        text = texts(said)
        if said["verdict"]["cause"] != wanted.cause or status != (wanted.cause != "healthy"):
            wrong.append(f"{name}, {user}: {status} {said['verdict']} {text}")
        wrong += [f"{name}, {user}: {told!r} is not in {text}" for told in wanted.told if told not in text]
        if wanted.cause == "healthy":
            wrong += [f"{name}, {user}: {each}" for each in said["observations"] if "cause" in each["value"]]
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize(("words", "sends"), [((f"{GOOD}:80",), False), ((f"http://{GOOD}/", "--http"), True)], ids=str)
def test_no_payload_goes_to_the_peer_unless_asked_for(
    chain: Chain, tmp_path: Path, words: tuple[str, ...], sends: bool
) -> None:
    """By strace: neither a connection, nor what is read of a greeting, sends a byte."""
    log = tmp_path / "check.strace"
    calls = "trace=write,writev,sendto,sendmsg,sendmmsg"
    before = ("strace", "-f", "--seccomp-bpf", "-yy", "-e", calls, "-o", str(log))
    status, _ = answer(chain.start("check", *words, "--format", "json", before=before))
    sent = [line for line in log.read_text().splitlines() if f"->{GOOD}:" in line or f'inet_addr("{GOOD}")' in line]
    assert status == 0
    assert bool(sent) == sends, sent
