"""What AWS always says of a resource. A record without it was cut or damaged, or is newer than this: it proves nothing.

Fields that AWS leaves out where they do not apply (a public address, an attachment) are looked at only where they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from systrace.cloud.aws.records import Record, address, network, number

Fits = Callable[[Any], bool]


def fault(key: str, record: Record) -> str:
    """The first field of a record that is not what it always is, "" where there is none."""
    return next((name for name, fits in _SHAPES.get(key, {}).items() if not fits(record.get(name))), "")


# ---------------------------------------------------------------------------------------------------------- what fits


def _word(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _whole(value: Any) -> bool:
    return number({"": value}, "") is not None


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _cidr(value: Any) -> bool:
    return _word(value) and network(value) is not None


def _address(value: Any) -> bool:
    return _word(value) and address(value) is not None


def _one_of(*words: str) -> Fits:
    """In any case: an endpoint is "Available" in the API, and "available" as the CLI prints it."""
    return lambda value: isinstance(value, str) and value.lower() in words


def _maybe(fits: Fits) -> Fits:
    return lambda value: value is None or fits(value)


def _each(fits: Fits) -> Fits:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _record(**fields: Fits) -> Fits:
    return lambda value: isinstance(value, Mapping) and all(fits(value.get(name)) for name, fits in fields.items())


def _with(fits: Fits, *others: Fits) -> Fits:
    return lambda value: fits(value) and all(other(value) for other in others)


def _any_of(*names: str) -> Fits:
    """One of these fields is there, and not empty."""
    return lambda value: any(value.get(name) for name in names)


def _names_targets(action: Any) -> bool:
    """A forward action names its target groups, and what each of several gets."""
    if action.get("Type") != "forward":
        return True
    forward = action.get("ForwardConfig")
    listed = forward.get("TargetGroups") if isinstance(forward, Mapping) else None
    if forward is None:
        return _word(action.get("TargetGroupArn"))
    several = isinstance(listed, list) and len(listed) > 1
    group = _record(TargetGroupArn=_word, Weight=_whole if several else _maybe(_whole))
    return bool(listed) and _each(group)(listed)


def _says_why(health: Any) -> bool:
    return health["State"] == "healthy" or _word(health.get("Reason"))


# --------------------------------------------------------------------------------------------------------- the shapes

_ASSOCIATION = _maybe(_record(PublicIp=_maybe(_address)))
_RULE = _with(
    _record(
        IpProtocol=_word,
        IpRanges=_maybe(_each(_record(CidrIp=_cidr))),
        Ipv6Ranges=_maybe(_each(_record(CidrIpv6=_cidr))),
        PrefixListIds=_maybe(_each(_record(PrefixListId=_word))),
        UserIdGroupPairs=_maybe(_each(_record(GroupId=_word))),
    ),
    _any_of("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs"),
)
_ENTRY = _with(
    _record(
        Egress=_truth,
        RuleAction=_one_of("allow", "deny"),
        RuleNumber=_whole,
        Protocol=_word,
        CidrBlock=_maybe(_cidr),
        Ipv6CidrBlock=_maybe(_cidr),
    ),
    _any_of("CidrBlock", "Ipv6CidrBlock"),
)
_ROUTE = _with(
    _record(
        DestinationCidrBlock=_maybe(_cidr),
        DestinationIpv6CidrBlock=_maybe(_cidr),
        DestinationPrefixListId=_maybe(_word),
        State=_word,
    ),
    _any_of("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"),
)
_ATTRIBUTE: dict[str, Fits] = {"Key": _word, "Value": _text}
_PEERING = _one_of(
    "initiating-request", "pending-acceptance", "active", "deleted", "rejected", "failed", "expired", "provisioning",
    "deleting",
)  # fmt: skip
_INSTANCE = _one_of("pending", "running", "shutting-down", "terminated", "stopping", "stopped")
_SHAPES: dict[str, dict[str, Fits]] = {
    "NetworkInterfaces": {
        "NetworkInterfaceId": _word,
        "SubnetId": _word,
        "VpcId": _word,
        "OwnerId": _word,
        "InterfaceType": _word,
        "Description": _text,
        "Status": _word,
        "Groups": _each(_record(GroupId=_word)),
        "PrivateIpAddresses": _maybe(_each(_record(PrivateIpAddress=_address, Association=_ASSOCIATION))),
        "Association": _ASSOCIATION,
        "Attachment": _maybe(_record(InstanceId=_maybe(_word))),
        "Ipv6Addresses": _maybe(_each(_record(Ipv6Address=_address))),
    },
    "Subnets": {"SubnetId": _word, "OwnerId": _word, "CidrBlock": _maybe(_cidr)},
    "Vpcs": {"VpcId": _word, "CidrBlock": _cidr},
    "SecurityGroups": {"GroupId": _word, "IpPermissions": _each(_RULE), "IpPermissionsEgress": _each(_RULE)},
    "NetworkAcls": {"NetworkAclId": _word, "Entries": _each(_ENTRY), "Associations": _each(_record(SubnetId=_word))},
    "RouteTables": {
        "RouteTableId": _word,
        "VpcId": _word,
        "Routes": _each(_ROUTE),
        "Associations": _each(
            _with(
                _record(SubnetId=_maybe(_word), Main=_maybe(_truth)),
                _any_of("Main", "SubnetId", "GatewayId", "PublicIpv4Pool"),
            )
        ),
    },
    "NatGateways": {
        "NatGatewayId": _word,
        "State": _one_of("pending", "failed", "available", "deleting", "deleted"),
    },
    "VpcEndpoints": {
        "VpcEndpointId": _word,
        "State": _one_of(
            "pendingacceptance", "pending", "available", "deleting", "deleted", "rejected", "failed", "expired"
        ),
    },
    "VpcPeeringConnections": {"VpcPeeringConnectionId": _word, "Status": _record(Code=_PEERING)},
    "VpcBlockPublicAccessOptions": {
        "InternetGatewayBlockMode": _word,
        "AwsAccountId": _maybe(_word),
        "AwsRegion": _maybe(_word),
    },
    "VpcBlockPublicAccessExclusions": {"ResourceArn": _word, "State": _word},
    "PrefixLists": {"PrefixListId": _word, "Cidrs": _maybe(_each(_cidr))},
    "Reservations": {"Instances": _each(_record(InstanceId=_word, State=_record(Name=_INSTANCE)))},
    "LoadBalancers": {"LoadBalancerArn": _word, "Type": _word, "SecurityGroups": _maybe(_each(_word))},
    "TargetGroups": {"TargetGroupArn": _word},
    "Listeners": {
        "ListenerArn": _word,
        "Port": _whole,
        "Protocol": _word,
        "DefaultActions": _with(_each(_with(_record(Type=_word), _names_targets)), bool),
    },
    "Rules": {"IsDefault": _truth},
    "LoadBalancerAttributes": _ATTRIBUTE,
    "ListenerAttributes": _ATTRIBUTE,
    "TargetGroupAttributes": _ATTRIBUTE,
    "TargetHealthDescriptions": {"Target": _record(Id=_word), "TargetHealth": _with(_record(State=_word), _says_why)},
    "Entries": {"Cidr": _cidr},
    "EnableDnsSupport": {"Value": _truth},
}
