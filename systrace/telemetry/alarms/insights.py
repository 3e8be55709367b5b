"""Queries of CloudWatch Logs Insights on the members of the events that `run --emf` writes.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

from __future__ import annotations

from systrace.telemetry import style
from systrace.telemetry.measures import DURATION, FAILED, LONG_SILENCE_S, SILENCE

_TEXT = """\
# What failed, why, and with whom
fields @timestamp, Job, Cause, Peer, Headline
| filter {failed} = 1
| sort @timestamp desc
| limit 50

# The proof of the last failure
fields @timestamp, Job, Headline, Evidence.0, Evidence.1, Evidence.2, Recording
| filter {failed} = 1
| sort @timestamp desc
| limit 1

# Causes and peers, counted
filter {failed} = 1
| stats count(*) as Runs by Cause, Peer
| sort Runs desc

# Does the peer fail for one host, or for all of them?
filter {failed} = 1 and Peer != ""
| stats count_distinct(Host) as Hosts, count(*) as Runs by Peer
| sort Hosts desc

# Jobs with connections that are silent for long: a NAT gateway forgets them after 350 s
filter {silence} > {limit}
| stats max({silence}) as Silence, sum({failed}) as Failures by Job
| sort Silence desc

# Which jobs take longer and longer
stats avg({duration}) as Average, max({duration}) as Longest by Job, bin(1d)
| sort Job asc
"""


@style("Queries of CloudWatch Logs Insights for the events of --emf.")
def text() -> str:
    """Queries, each below a comment, with an empty line between them."""
    names = {"failed": FAILED.member, "silence": SILENCE.member, "duration": DURATION.member}
    return _TEXT.format(**names, limit=LONG_SILENCE_S)
