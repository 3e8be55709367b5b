"""VPC endpoints as targets of routes: gateway endpoints (S3, DynamoDB), and those of gateway load balancers."""

from __future__ import annotations

from systrace.cloud.aws.records import text
from systrace.cloud.aws.routes import Route
from systrace.cloud.aws.steps import UNKNOWN, Step, allowed, blocked
from systrace.cloud.aws.targets import target
from systrace.cloud.aws.walk import Walk


@target("vpce")
def endpoint(walk: Walk, route: Route) -> None:
    """A gateway endpoint needs no public address, and its policy can only refuse with 403."""
    kinds: list[str] = []

    def judge() -> Step:
        record = walk.inventory.one("VpcEndpoints", "VpcEndpointId", route.target)
        kinds.append(text(record, "VpcEndpointType"))
        state, service = text(record, "State"), text(record, "ServiceName")
        if state.lower() != "available":
            return blocked(
                "endpoint",
                route.target,
                f"{route.target} ({service}) is {state}",
                change="an endpoint that is available",
            )
        said = f"{route.target} ({service}) is available"
        if kinds[0] == "Gateway":
            said += "; its policy cannot block a connection, only answer 403"
        return allowed("endpoint", route.target, said)

    walk.run("endpoint", route.target, judge)
    if kinds and kinds[0] == "Gateway":
        return
    if kinds and kinds[0] == "GatewayLoadBalancer":
        walk.limit(route.target, "Gateway Load Balancer", 350, "silent", certain=False)
    walk.note(
        "beyond",
        UNKNOWN,
        route.target,
        f"{route.destination} goes through an appliance behind {route.target}",
        ask=f"who runs the firewall behind it: its rules for {walk.question.service} to {walk.question.peer}",
    )
