"""Facts of a cloud's rules and a recording: what they prove, what they refute, and that a healthy job stays healthy."""

from __future__ import annotations

from systrace.cloud.aws.facts import conclude, observations
from systrace.cloud.aws.logs import own_addresses, questions
from systrace.cloud.aws.ports import Ports
from systrace.cloud.aws.questions import Question
from systrace.cloud.aws.sources import Hint, find
from systrace.cloud.aws.steps import Way
from systrace.cloud.aws.walk import way_to
from systrace.model import Analysis, Input
from systrace.observations import Observation
from systrace.pipeline import analyze
from tests.cloud.world import World, entry, last, rule
from tests.serverlogs.test_matching import KILLED, T0, Step, answer, ask

KEEPALIVE = [
    (0.95, "setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0 <0.00001>"),
    (0.96, "setsockopt(3, SOL_TCP, TCP_KEEPIDLE, [60], 4) = 0 <0.00001>"),
]
SENT = (2.0, 'sendto(3, "GET /x HTTP/1.1\\r\\nHost: api.example\\r\\n\\r\\n", 40, 0, NULL, 0) = 40 <0.00001>')


def job(*steps: Step, keepalive: bool = False) -> list[bytes]:
    """A connection through NAT: 10.0.1.10:41000 to 198.51.100.9:80."""
    peer, local = (
        f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("{host}")}}'
        for host, port in (("198.51.100.9", 80), ("10.0.1.10", 41000))
    )
    begun = [
        (0.0, 'execve("/job", ["/job"], 0x1 /* 3 vars */) = 0 <0.001>'),
        (0.9, "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.00001>"),
        *(KEEPALIVE if keepalive else []),
        (1.0, f"connect(3, {peer}, 16) = 0 <0.001>"),
        (1.1, f"getsockname(3, {local}, [16]) = 0 <0.00001>"),
    ]
    return [f"900 {T0 + at:.6f} {call}\n".encode() for at, call in [*begun, *steps]]


def waits(seconds: float) -> list[Step]:
    hung = (2.1, f"recvfrom(3, 0x55d0, 4096, 0, NULL, NULL) = ? ERESTARTSYS (To be restarted) <{seconds:.6f}>")
    return [SENT, hung, *((2.2 + seconds, call) for call in KILLED)]


def read(lines: list[bytes], *facts: Observation) -> Analysis:
    return analyze([Input("t", lines)], context=list(facts))


def asked(analysis: Analysis, world: World | None = None) -> tuple[Way, list[Observation]]:
    inventory = (world or World()).inventory()
    (question,) = questions(analysis)
    way = way_to(inventory, question, find(inventory, Hint(addresses=own_addresses(analysis))))
    return way, observations(way, 1, "here")


def test_a_nat_gateway_proves_that_the_wait_was_in_vain() -> None:
    lines = job(*waits(400))
    before = read(lines)
    way, facts = asked(before)
    assert (before.verdict.cause, before.findings[0].confidence) == ("idle-timeout", "likely")
    assert (way.question.seen, str(way.question.answers), way.question.local) == (True, "41000", "10.0.1.10")
    answer = conclude(way)
    assert (answer.status, answer.outcome, answer.cause) == (1, "idle", "idle-timeout")
    assert "silent for 400 s, and no keepalive is seen" in answer.text
    after = read(lines, *facts)
    first = after.findings[0]
    assert (first.cause, first.confidence) == ("idle-timeout", "confirmed")
    assert "NAT gateway nat-1 forgets a connection after 350 s" in first.summary
    assert "What is on this path forgets a connection after 350 s of silence (systrace aws)" in first.summary


def test_added_to_the_recording_it_proves_the_same() -> None:
    lines = job(*waits(400))
    _, facts = asked(read(lines))
    first = read([*lines, *(each.line for each in facts)]).findings[0]
    assert (first.cause, first.confidence) == ("idle-timeout", "confirmed")


def test_keepalive_rules_the_limit_out() -> None:
    """The same wait with probes every minute: the gateway never forgot it, the server did not answer."""
    lines = job(*waits(400), keepalive=True)
    way, facts = asked(read(lines))
    assert (conclude(way).status, conclude(way).outcome) == (0, "allowed")
    assert any(each.kind == "path-limit" for each in facts)
    after = read(lines, *facts)
    assert after.verdict.cause == "hung-read"
    assert after.findings[0].confidence == read(lines).findings[0].confidence


def test_a_shorter_wait_is_not_put_down_to_the_gateway() -> None:
    lines = job(*waits(300))
    way, facts = asked(read(lines))
    assert conclude(way).status == 0
    assert read(lines, *facts).verdict.cause == read(lines).verdict.cause == "hung-read"


def test_a_silence_that_was_survived_is_no_finding() -> None:
    """It did not go through that gateway, or the gateway is newer: the log is stronger."""
    waited = (2.1, 'recvfrom(3, "HTTP/1.1 204 No\\r\\n\\r\\n", 9999, 0, NULL, NULL) = 19 <400.0>')
    lines = job(SENT, waited, (403, "exit_group(0) = ?"), (403.1, "+++ exited with 0 +++"))
    way, facts = asked(read(lines))
    assert way.question.survived_s > 350
    assert conclude(way).status == 0
    assert read(lines, *facts).verdict.outcome == read(lines).verdict.outcome


def test_a_healthy_log_stays_healthy() -> None:
    done = [(3.0, "exit_group(0) = ?"), (3.1, "+++ exited with 0 +++")]
    lines = job(ask(3, 2.0, "/x"), answer(3, 2.1), *done)
    _, facts = asked(read(lines))
    assert {each.kind for each in facts} == {"path-open", "path-limit"}
    after = read(lines, *facts)
    assert (after.verdict.outcome, after.findings) == ("healthy", [])


def test_other_findings_do_not_mention_the_limit() -> None:
    refused = b"900 1764324001.000000 connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr"
    refused += b'("198.51.100.9")}, 16) = -1 ECONNREFUSED (Connection refused) <0.001>\n'
    lines = [*job()[:2], refused, b"900 1764324002.000000 +++ exited with 1 +++\n"]
    world = World()
    inventory = world.inventory()
    (question,) = questions(read(lines))
    facts = observations(way_to(inventory, question, find(inventory, Hint("eni-job"))), 1, "here")
    first = read(lines, *facts).findings[0]
    assert first.cause == "connect-refused"
    assert "350" not in first.summary


def test_a_share_of_the_ports_is_no_proof() -> None:
    world = World()
    rules = [entry(100, "allow", egress=True), entry(100, "allow", egress=False, ports=(1024, 44999))]
    world.acl("acl-a", [*rules, *last()], "subnet-a")
    lines = job(*waits(30))
    analysis = read(lines)
    (question,) = questions(analysis)
    inventory = world.inventory()
    unseen = way_to(inventory, Question(question.peer, 80), find(inventory, Hint("eni-job")))
    (fact, *_) = observations(unseen, 1, "here")
    assert (fact.kind, fact.value["share"]) == ("path-open", 0.4333)
    assert conclude(unseen).text.startswith("now and then: 43% pass (network ACL, answers in)")
    assert way_to(inventory, question, find(inventory, Hint("eni-job"))).outcome == "allowed"  # 41000 is let in


def test_what_is_unknown_is_no_fact() -> None:
    world = World()
    world.documents.pop("NetworkAcls")
    way, facts = asked(read(job(*waits(30))), world)
    assert conclude(way).status == 2
    assert [each for each in facts if each.kind != "path-limit"] == []


def test_a_limit_of_a_balancer_that_closes_is_no_silent_one() -> None:
    world = World()
    world.network_balancer("10.0.2.20", kind="app")
    inventory = world.inventory()
    balancer = Question("10.0.2.40", 443, answers=Ports(((41000, 41000),)), silence_s=90)
    way = way_to(inventory, balancer, find(inventory, Hint("eni-job")))
    (limit,) = way.limits
    assert (limit.idle_s, limit.after, limit.certain) == (60, "fin", True)
    assert way.limit is None
    assert conclude(way).status == 0
    assert "limit_below_s" not in observations(way, 1, "here")[-1].value


def test_a_setting_that_was_not_read_is_a_default() -> None:
    world = World()
    world.network_balancer("10.0.2.20")
    world.details = [each for each in world.details if "Attributes" not in each or "ListenerArn" not in each]
    inventory = world.inventory()
    way = way_to(inventory, Question("10.0.2.40", 443, silence_s=900), find(inventory, Hint("eni-job")))
    assert [(each.idle_s, each.certain) for each in way.limits] == [(350, False)]
    assert conclude(way).outcome != "idle"


def test_tracking_forgets_where_the_interface_says_so() -> None:
    world = World()
    world.one("NetworkInterfaces", "eni-job")["ConnectionTrackingConfiguration"] = {"TcpEstablishedTimeout": 120}
    way, facts = asked(read(job(*waits(200))), world)
    assert conclude(way).cause == "idle-timeout"
    assert facts[-1].value["limit_below_s"] == 120


def test_an_instance_of_unknown_type_may_forget() -> None:
    """Nitro v6 does after 350 s: it is asked where the job was silent for longer."""
    within = Question("10.0.2.20", 5432, silence_s=400)
    world = World()
    inventory = world.inventory()
    way = way_to(inventory, within, find(inventory, Hint("eni-job")))
    assert way.deciding is not None
    assert (way.deciding.name, way.deciding.outcome) == ("connection-tracking", "unknown")
    assert "describe-instances" in way.deciding.ask
    for kind, limits in (("m8i.large", [350]), ("m5.large", [])):
        world["Reservations"][:] = [
            {
                "ReservationId": "r-1",
                "Instances": [{"InstanceId": "i-job", "InstanceType": kind, "State": {"Name": "running"}}],
            }
        ]
        inventory = world.inventory()
        way = way_to(inventory, within, find(inventory, Hint("eni-job")))
        assert [each.idle_s for each in way.limits] == limits
        assert all(each.name != "connection-tracking" for each in way.steps)


def test_all_peers_of_a_log_that_accuses_none() -> None:
    done = [(3.0, "exit_group(0) = ?"), (3.1, "+++ exited with 0 +++")]
    (question,) = questions(read(job(ask(3, 2.0, "/x"), answer(3, 2.1), *done)))
    assert question.subject == "198.51.100.9:80"


def test_a_rule_of_the_groups_is_said_of_a_connect_that_timed_out() -> None:
    world = World()
    world.group("sg-app", egress=[rule(443, cidr="0.0.0.0/0")])
    peer = '{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("198.51.100.9")}'
    gone = f"connect(3, {peer}, 16) = -1 ETIMEDOUT (Connection timed out) <130.0>"
    lines = [*job()[:2], f"900 {T0 + 1} {gone}\n".encode(), f"900 {T0 + 132} +++ exited with 1 +++\n".encode()]
    inventory = world.inventory()
    (question,) = questions(read(lines))
    facts = observations(way_to(inventory, question, find(inventory, Hint("eni-job"))), 1, "here")
    first = read(lines, *facts).findings[0]
    assert (first.cause, first.confidence) == ("connect-timeout", "confirmed")
