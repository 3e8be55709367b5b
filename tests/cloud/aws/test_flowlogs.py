"""Flow logs: six cases, AWS's own examples, and formats."""

from __future__ import annotations

import json

import pytest

from systrace.cloud.aws.flowlogs import athena, insights, judge, lines_of, read, within
from systrace.cloud.aws.ports import Ports
from systrace.cloud.aws.questions import Question
from systrace.cloud.aws.sources import Hint, find
from systrace.cloud.aws.steps import FlowSeen
from systrace.cloud.aws.walk import way_to
from systrace.cloud.aws.witnesses import along, heard
from tests.cloud.world import World

ENI, OWN, PEER = "eni-job", "10.0.1.10", "198.51.100.9"
ASKED = Question(PEER, 443, answers=Ports(((41000, 41000),)), seen=True)


T = 1418530010


def out(action: str, port: int = 41000, at: int = T) -> str:
    return f"2 111111111111 {ENI} {OWN} {PEER} {port} 443 6 3 180 {at} {at + 60} {action} OK"


def back(action: str, port: int = 41000, at: int = T) -> str:
    return f"2 111111111111 {ENI} {PEER} {OWN} 443 {port} 6 3 180 {at} {at + 60} {action} OK"


SKIPPED = f"2 111111111111 {ENI} - - - - - - - 1431280876 1431280934 - SKIPDATA"
NO_DATA = f"2 111111111111 {ENI} - - - - - - - 1431280876 1431280934 - NODATA"


def seen(*lines: str) -> FlowSeen:
    records, strange = read(lines)
    assert strange == 0
    return judge(records, ENI, [OWN], ASKED)


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ([out("REJECT")], "rejected-out"),
        ([out("ACCEPT"), back("REJECT")], "answer-rejected"),
        ([out("ACCEPT")], "lost"),
        ([out("ACCEPT"), back("ACCEPT")], "innocent"),
        ([SKIPPED], "undecided"),
        ([NO_DATA], "undecided"),
        ([], "undecided"),
        ([out("ACCEPT"), SKIPPED], "undecided"),
        ([out("ACCEPT"), out("REJECT"), back("ACCEPT")], "mixed"),
        ([out("ACCEPT"), out("REJECT")], "mixed"),
        ([out("REJECT"), back("ACCEPT")], "mixed"),
        ([out("ACCEPT"), back("ACCEPT"), back("REJECT", at=T + 700)], "mixed"),  # a late FIN
        ([out("ACCEPT"), back("REJECT", at=T + 700)], "undecided"),
        ([out("ACCEPT"), back("REJECT", at=T + 90)], "answer-rejected"),
        ([back("REJECT")], "undecided"),  # a stray: security groups reject those, too
        ([out("REJECT", 50000), out("ACCEPT"), back("ACCEPT")], "innocent"),  # another connection
    ],
)
def test_who_dropped_it(lines: list[str], outcome: str) -> None:
    assert seen(*lines).outcome == outcome


def test_mixed_records_are_no_rejection() -> None:
    assert [seen(out("REJECT")).rejected, seen(out("ACCEPT"), out("REJECT"), back("ACCEPT")).rejected] == [True, False]


@pytest.mark.parametrize(
    ("at", "kept"), [(T - 1000, False), (T - 950, True), (T, True), (T + 1000, True), (T + 1001, False)]
)
def test_records_of_another_time_do_not_count(at: int, kept: bool) -> None:
    """The log is of 100 s; the port was another connection's before and after."""
    records, _ = read([out("REJECT", at=at), SKIPPED])
    assert [each.action for each in within(records, (T, T + 100))] == (["REJECT"] if kept else [])
    assert within(records, None) == records


def test_records_without_times_are_kept() -> None:
    records, _ = read(["interface-id srcaddr dstaddr action start", "eni-job 10.0.0.1 10.0.0.2 REJECT x"])
    assert within(records, (T, T + 100)) == records
    assert (records[0].start_s, records[0].end_s) == (None, None)
    long, _ = read([out("REJECT").replace(str(T), "9" * 4000)])
    assert long[0].start_s is None


def test_an_answer_that_was_rejected_is_the_acls_doing() -> None:
    assert "network ACL, since security groups let answers through" in seen(out("ACCEPT"), back("REJECT")).text


def test_records_of_other_interfaces_do_not_count() -> None:
    assert seen(out("REJECT").replace(ENI, "eni-other")).outcome == "undecided"


def test_awss_example_of_a_ping() -> None:
    """The instance is pinged; its ACL lets the ping in and the answer not out."""
    eni, own = "eni-1235b8ca123456789", "172.31.16.139"
    records, _ = read(
        [
            f"2 123456789010 {eni} 203.0.113.12 {own} 0 0 1 4 336 1432917027 1432917142 ACCEPT OK",
            f"2 123456789010 {eni} {own} 203.0.113.12 0 0 1 4 336 1432917094 1432917142 REJECT OK",
        ]
    )
    asked = Question("203.0.113.12", 0)
    found = judge(records, eni, [own], asked, inbound=True, number="1")
    assert (found.outcome, "network ACL" in found.text) == ("answer-rejected", True)
    assert judge(records[:1], eni, [own], asked, inbound=True, number="1").outcome == "lost"
    rejected, _ = read([f"2 123456789010 {eni} 203.0.113.12 {own} 0 0 1 4 336 1432917027 1432917142 REJECT OK"])
    assert judge(rejected, eni, [own], asked, inbound=True, number="1").outcome == "rejected-in"


NAT_FIELDS = "instance-id interface-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr"


def test_awss_example_of_nat() -> None:
    """At the gateway's interface the packet's own addresses count. Without an action field nothing is acquitted."""
    nat, job = "eni-1235b8ca123456789", "eni-1111aaaa2222bbbb3"
    lines = [
        NAT_FIELDS,
        f"- {nat} 10.0.1.5 10.0.0.220 10.0.1.5 203.0.113.5",
        f"- {nat} 10.0.0.220 203.0.113.5 10.0.0.220 203.0.113.5",
        f"- {nat} 203.0.113.5 10.0.0.220 203.0.113.5 10.0.0.220",
        f"- {nat} 10.0.0.220 10.0.1.5 203.0.113.5 10.0.1.5",
        NAT_FIELDS,
        f"i-01234567890123456 {job} 10.0.1.5 203.0.113.5 10.0.1.5 203.0.113.5 #Traffic from the source instance to host",
        f"i-01234567890123456 {job} 203.0.113.5 10.0.1.5 203.0.113.5 10.0.1.5 #Response traffic from host",
    ]
    records, strange = read(lines)
    assert (len(records), strange) == (6, 0)
    asked = Question("203.0.113.5", 443)
    for eni in (nat, job):
        found = judge(records, eni, ["10.0.1.5"], asked)
        assert (found.outcome, found.text.startswith("both directions are seen")) == ("undecided", True)
    with_action, _ = read([f"{NAT_FIELDS} action", *(f"{each.partition(' #')[0]} ACCEPT" for each in lines[1:5])])
    assert judge(with_action, nat, ["10.0.1.5"], asked).outcome == "innocent"


def test_awss_examples_of_one_direction() -> None:
    eni = "eni-1235b8ca123456789"
    ssh, _ = read(
        [f"2 123456789010 {eni} 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK"]
    )
    rdp, _ = read(
        [f"2 123456789010 {eni} 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK"]
    )
    v6 = "2001:db8:1234:a100:8d6e:3477:df66:f105", "2001:db8:1234:a102:3304:8879:34cf:4071"
    six, _ = read([f"2 123456789010 {eni} {v6[0]} {v6[1]} 34892 22 6 54 8855 1477913708 1477913820 ACCEPT OK"])
    assert judge(ssh, eni, ["172.31.16.21"], Question("172.31.16.139", 22), inbound=True).outcome == "lost"
    assert judge(rdp, eni, ["172.31.9.12"], Question("172.31.9.69", 3389), inbound=True).outcome == "rejected-in"
    assert judge(six, eni, [v6[1]], Question(v6[0], 22), inbound=True).outcome == "lost"


def test_awss_example_of_flags_and_fields() -> None:
    fields = (
        "version vpc-id subnet-id instance-id interface-id account-id type srcaddr dstaddr srcport dstport pkt-srcaddr "
    )
    fields += "pkt-dstaddr protocol bytes packets start end action tcp-flags log-status"
    head = (
        "3 vpc-abcdefab012345678 subnet-aaaaaaaa012345678 i-01234567890123456 eni-1235b8ca123456789 123456789010 IPv4"
    )
    client, server = "52.213.180.42", "10.0.0.62"
    records, strange = read(
        [
            fields,
            f"{head} {client} {server} 43416 5001 {client} {server} 6 568 8 1566848875 1566848933 ACCEPT 2 OK",
            f"{head} {server} {client} 5001 43416 {server} {client} 6 376 7 1566848875 1566848933 ACCEPT 18 OK",
        ]
    )
    assert strange == 0
    found = judge(records, "eni-1235b8ca123456789", [server], Question(client, 5001), inbound=True)
    assert found.outcome == "innocent"


def test_cloudwatchs_json_and_its_tail() -> None:
    told = json.dumps({"events": [{"message": out("REJECT")}, {"message": 5}, 7]})
    records, strange = read(lines_of(told))
    assert (len(records), strange) == (1, 1)
    tailed, _ = read([f"2026-11-29T10:00:00+00:00 eni-job-all {out('REJECT')}"])
    assert tailed == records
    assert lines_of("{torn") == ["{torn"]


@pytest.mark.parametrize("line", ["", "x" * 100_000, "2 1 2 3", "{}", "\x00\x1b[2J" * 9, "version", "- - -"])
def test_nonsense_is_counted(line: str) -> None:
    records, _ = read([line, out("ACCEPT")])
    assert [each.action for each in records] == ["ACCEPT"]


def test_queries_name_the_connection() -> None:
    wanted = insights(ENI, OWN, ASKED)
    assert 'interfaceId = "eni-job"' in wanted
    assert f'srcAddr = "{OWN}" and dstAddr = "{PEER}" and dstPort = 443 and srcPort = 41000' in wanted
    assert f"srcaddr = '{PEER}' AND dstaddr = '{OWN}' AND srcport = 443 AND dstport = 41000" in athena(ENI, OWN, ASKED)
    assert "41000" not in insights(ENI, OWN, Question(PEER, 443))


def test_a_nat_gateway_is_a_witness() -> None:
    """It passed the packets on, and its own subnet's ACL rejected the answers: the job's interface saw none."""
    world = World()
    world.one("NatGateways", "nat-1")["NatGatewayAddresses"][0]["NetworkInterfaceId"] = "eni-nat"
    inventory = world.inventory()
    source = find(inventory, Hint("eni-job"))
    seers = along(way_to(inventory, ASKED, source), source, inventory)
    assert [each.interface for each in seers] == ["eni-job", "eni-nat"]
    rest = "6 3 180 1418530010 1418530070"
    nat = [
        f"2 111111111111 eni-nat 10.0.9.5 {PEER} 55001 443 {rest} ACCEPT OK",
        f"2 111111111111 eni-nat {PEER} 10.0.9.5 443 55001 {rest} REJECT OK",
    ]
    found = heard(seers, read([out("ACCEPT"), *nat])[0])
    assert [each.outcome for each in found] == ["lost", "answer-rejected"]
    assert [each.outcome for each in heard(seers, read([out("ACCEPT")])[0])] == ["lost"]


def test_the_peers_interface_is_a_witness() -> None:
    """Its groups let it in, its host answered nothing."""
    inventory = World().inventory()
    source, asked = find(inventory, Hint("eni-job")), Question("10.0.2.20", 5432)
    seers = along(way_to(inventory, asked, source), source, inventory)
    rest = "41000 5432 6 3 180 1418530010 1418530070 ACCEPT OK"
    lines = [f"2 111111111111 {eni} 10.0.1.10 10.0.2.20 {rest}" for eni in ("eni-job", "eni-db")]
    found = heard(seers, read(lines)[0])
    assert [each.outcome for each in found] == ["lost", "lost"]
    assert "the host answered nothing" in found[1].text
