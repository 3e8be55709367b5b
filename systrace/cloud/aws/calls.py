"""The questions to AWS, in one table: what each is called in the CLI, in boto3 and in a policy. All of them only read."""

from __future__ import annotations

from systrace.dataclass import dataclass

_SERVICES = {"elbv2": "elasticloadbalancing"}  # where the policy's prefix is another word


@dataclass(frozen=True, slots=True)
class Call:
    """One operation."""

    service: str  # of boto3 and the CLI
    operation: str  # of boto3: describe_subnets
    key: str = ""  # of its answer, where that is not the key of the table
    argument: str = ""  # the parameter that names whose details are wanted; "" where all records are listed
    identity: str = ""  # the field of a record that names it everywhere, in any account
    fixed: tuple[tuple[str, str], ...] = ()  # parameters that are always the same

    @property
    def command(self) -> str:
        """As typed: aws ec2 describe-subnets."""
        fixed = "".join(f" --{dashed(name)} {value}" for name, value in self.fixed)
        return f"aws {self.service} {self.operation.replace('_', '-')}{fixed}"

    @property
    def action(self) -> str:
        """As a policy names it: ec2:DescribeSubnets."""
        words = "".join(word.capitalize() for word in self.operation.split("_"))
        words = words.replace("Db", "DB") if self.service == "rds" else words
        return f"{_SERVICES.get(self.service, self.service)}:{words}"


# Whole lists, by the key of the answer.
LISTS = {
    "NetworkInterfaces": Call("ec2", "describe_network_interfaces", identity="NetworkInterfaceId"),
    "Subnets": Call("ec2", "describe_subnets", identity="SubnetId"),
    "Vpcs": Call("ec2", "describe_vpcs", identity="VpcId"),
    "SecurityGroups": Call("ec2", "describe_security_groups", identity="GroupId"),
    "NetworkAcls": Call("ec2", "describe_network_acls", identity="NetworkAclId"),
    "RouteTables": Call("ec2", "describe_route_tables", identity="RouteTableId"),
    "NatGateways": Call("ec2", "describe_nat_gateways", identity="NatGatewayId"),
    "VpcEndpoints": Call("ec2", "describe_vpc_endpoints", identity="VpcEndpointId"),
    "VpcPeeringConnections": Call("ec2", "describe_vpc_peering_connections", identity="VpcPeeringConnectionId"),
    "VpcBlockPublicAccessOptions": Call("ec2", "describe_vpc_block_public_access_options"),
    "VpcBlockPublicAccessExclusions": Call(
        "ec2", "describe_vpc_block_public_access_exclusions", identity="ExclusionId"
    ),
    "PrefixLists": Call("ec2", "describe_prefix_lists", identity="PrefixListId"),
    "Reservations": Call("ec2", "describe_instances", identity="ReservationId"),
    "LoadBalancers": Call("elbv2", "describe_load_balancers", identity="LoadBalancerArn"),
    "TargetGroups": Call("elbv2", "describe_target_groups", identity="TargetGroupArn"),
    "DBInstances": Call("rds", "describe_db_instances", identity="DBInstanceArn"),
    "DBClusters": Call("rds", "describe_db_clusters", identity="DBClusterArn"),
}
# Details of one resource: saved as {ARGUMENT: id, KEY: [...]}, since the answer alone does not say whose they are.
DETAILS = {
    "Listeners": Call("elbv2", "describe_listeners", argument="LoadBalancerArn"),
    "Rules": Call("elbv2", "describe_rules", argument="ListenerArn"),
    "LoadBalancerAttributes": Call("elbv2", "describe_load_balancer_attributes", "Attributes", "LoadBalancerArn"),
    "ListenerAttributes": Call("elbv2", "describe_listener_attributes", "Attributes", "ListenerArn"),
    "TargetGroupAttributes": Call("elbv2", "describe_target_group_attributes", "Attributes", "TargetGroupArn"),
    "TargetHealthDescriptions": Call("elbv2", "describe_target_health", argument="TargetGroupArn"),
    "Entries": Call("ec2", "get_managed_prefix_list_entries", argument="PrefixListId"),
    "EnableDnsSupport": Call(
        "ec2", "describe_vpc_attribute", argument="VpcId", fixed=(("Attribute", "enableDnsSupport"),)
    ),
}
# Whose entries are asked for, in `--commands`: a route or rule names it itself.
OWN_PREFIX_LISTS = Call("ec2", "describe_managed_prefix_lists", "PrefixLists")
# Asked for only with --from TASK and --flow-logs GROUP.
TASKS = Call("ecs", "describe_tasks", "tasks")
CLUSTERS = Call("ecs", "list_clusters", "clusterArns")
EVENTS = Call("logs", "filter_log_events", "events")


def dashed(name: str) -> str:
    """LoadBalancerArn -> load-balancer-arn, as the CLI's options are called."""
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in name).lstrip("-")
