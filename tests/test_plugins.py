"""Contracts that every plug-in keeps: each rule on its own two traces, and the registries as a whole."""

from __future__ import annotations

import inspect
import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from systrace.decoders import DECODERS
from systrace.model import Finding, Input, Record
from systrace.parser.syscalls import SYSCALLS
from systrace.pipeline import analyze
from systrace.registry import Registry
from systrace.reporters import REPORTERS
from systrace.rules import RULES, Rule
from systrace.rules.pages import HEADINGS, full_trace, page
from systrace.telemetry import ALARMS, OUTLETS
from systrace.tracers import TRACERS

each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
NOWHERE = [
    ip_network(net)
    for net in "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 127.0.0.0/8 0.0.0.0/32 169.254.0.0/16 10.0.0.0/8".split()
]
BENIGN = frozenset({"fallback-ok", "recovered-error"})  # findings whose very point is that no harm was done
SEVERITIES = ("fatal", "error", "warning", "info")


def findings(trace: str) -> list[Finding]:
    """What the whole pipeline finds in a trace."""
    return analyze([Input("example.strace", full_trace(trace).encode().splitlines())]).findings


def accusations(rule: Rule, trace: str) -> list[Finding]:
    """Findings of this rule's cause that blame something."""
    found = [finding for finding in findings(trace) if finding.cause == rule.cause]
    if rule.cause in BENIGN:
        return found
    return [finding for finding in found if finding.severity != "info" and not finding.recovered]


@each_rule
def test_a_rule_fires_on_its_trace(rule: Rule) -> None:
    """And the finding is fit to be shown: evidence from the trace, words for every field a reader needs."""
    found = accusations(rule, rule.fires)
    assert found, f"found instead: {[(each.cause, each.severity, each.recovered) for each in findings(rule.fires)]}"
    lines = full_trace(rule.fires).splitlines()
    for finding in found:
        assert finding.severity in SEVERITIES
        assert finding.confidence in ("confirmed", "likely", "possible")
        assert finding.summary[-1:] == "."
        assert finding.lines, "a finding without evidence"
        assert all(lines[line.line - 1].startswith(line.raw.rstrip()[:20]) for line in finding.lines)
        assert finding.refuted_by or finding.severity in ("warning", "info")


@each_rule
def test_a_rule_is_silent_on_its_counter_example(rule: Rule) -> None:
    """The trace that looks much the same and is fine, or is another rule's."""
    assert not accusations(rule, rule.silent)


@each_rule
def test_a_rule_has_a_whole_page(rule: Rule) -> None:
    """All headings in their order, with something under each."""
    sections = page(rule.cause, rule.page).sections
    assert tuple(sections) == HEADINGS
    assert all(len(text) > 3 for text in sections.values())


@each_rule
def test_an_example_is_a_trace_from_nowhere(rule: Rule) -> None:
    """Addresses are those of documentation (RFC 5737), loopback, link-local or private ones."""
    for quad in re.findall(r'inet_addr\("([\d.]+)"\)', rule.fires + rule.silent):
        assert any(ip_address(quad) in network for network in NOWHERE), quad


@pytest.mark.parametrize("name", SYSCALLS)
def test_a_syscall_handler_survives_any_arguments(name: str) -> None:
    """Whatever the text between the parentheses: an event, or none, and no exception."""
    for args in (b"", b"3", b"3, NULL", b'\xff\x00)("', b'3, {sa_family=AF_INET, "', b"-1, [{", b"..., " * 40):
        for retval, errno in ((0, None), (-1, "EINTR"), (None, None), (1 << 63, None)):
            record = Record(0, 1, 9, 1_000, 10, name, args, retval, errno, "returned", b"")
            event = SYSCALLS[name](record)
            assert event is None or event.record is record


@pytest.mark.parametrize(
    "registry",
    [RULES, DECODERS, SYSCALLS, REPORTERS, TRACERS, OUTLETS, ALARMS],
    ids="rules decoders syscalls reporters tracers outlets alarms".split(),
)
def test_a_plug_in_is_documented(registry: Registry[object]) -> None:
    """Every entry says what it is, in a docstring of its own or of its class."""
    assert len(registry) > 1
    for name, entry in registry.items():
        told = getattr(entry, "check", None) or getattr(entry, "text", entry)
        kind = told if callable(told) else type(told)
        assert inspect.getdoc(kind), f"{name} has no docstring"


def test_plug_ins_are_found_in_any_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The registry walks the package, not a path."""
    monkeypatch.chdir(tmp_path)
    assert "read-timeout" in Registry("systrace.rules") or "read-timeout" in RULES
