"""What to run for `--data`, and the least that its caller must be allowed: only lists and descriptions."""

from __future__ import annotations

import json
from collections.abc import Iterator

from systrace.cloud.aws.calls import CLUSTERS, DETAILS, EVENTS, LISTS, OWN_PREFIX_LISTS, TASKS, dashed


def commands() -> list[str]:
    """Lines of a shell, one answer a file. Details are asked for each resource, and say whose they are."""
    return [*_lists(), *_details()]


def _lists() -> Iterator[str]:
    for key, call in LISTS.items():
        yield f"{call.command} --output json > {key}.json"


_BALANCERS = "aws elbv2 describe-load-balancers --query 'LoadBalancers[].LoadBalancerArn' --output text"
_OWNERS = {  # whose details are asked for
    "LoadBalancerArn": _BALANCERS,
    "ListenerArn": f"for lb in $({_BALANCERS}); do aws elbv2 describe-listeners --load-balancer-arn $lb "
    "--query 'Listeners[].ListenerArn' --output text; done",
    "TargetGroupArn": "aws elbv2 describe-target-groups --query 'TargetGroups[].TargetGroupArn' --output text",
    "PrefixListId": f"{OWN_PREFIX_LISTS.command} --query 'PrefixLists[?OwnerId!=`AWS`].PrefixListId' --output text",
    "VpcId": "aws ec2 describe-vpcs --query 'Vpcs[].VpcId' --output text",
}


def _details() -> Iterator[str]:
    """`--query` puts the owner's id beside the answer, which does not hold it."""
    for key, call in DETAILS.items():
        name = call.key or key
        query = f"""--query '{{{call.argument}: `"'$id'"`, {name}: {name}}}'"""
        yield _each(call.argument, f"{call.command} --{dashed(call.argument)} $id --output json {query}", key)


def _each(owner: str, command: str, key: str) -> str:
    return f"for id in $({_OWNERS[owner]}); do {command} > {key}-$(printf %s $id | tr / _).json; done"


def policy() -> str:
    """The least that is needed, as IAM wants it, in one line."""
    calls = [*LISTS.values(), *DETAILS.values(), OWN_PREFIX_LISTS, TASKS, CLUSTERS, EVENTS]
    actions = sorted({each.action for each in calls})
    statement = {"Sid": "describe", "Effect": "Allow", "Action": actions, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
