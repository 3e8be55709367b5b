"""Fields of Kafka's messages: just those that tell whether the broker refused (Kafka's message definitions)."""

from __future__ import annotations

import struct

from systrace.messages.replies import brief

APIS = {
    0: "Produce",
    1: "Fetch",
    2: "ListOffsets",
    3: "Metadata",
    8: "OffsetCommit",
    9: "OffsetFetch",
    10: "FindCoordinator",
    11: "JoinGroup",
    12: "Heartbeat",
    13: "LeaveGroup",
    14: "SyncGroup",
    15: "DescribeGroups",
    16: "ListGroups",
    17: "SaslHandshake",
    18: "ApiVersions",
    19: "CreateTopics",
    20: "DeleteTopics",
    22: "InitProducerId",
    24: "AddPartitionsToTxn",
    25: "AddOffsetsToTxn",
    26: "EndTxn",
    28: "TxnOffsetCommit",
    32: "DescribeConfigs",
    36: "SaslAuthenticate",
    37: "CreatePartitions",
    60: "DescribeCluster",
    68: "ConsumerGroupHeartbeat",
}
ERRORS = {
    -1: "UNKNOWN_SERVER_ERROR",
    1: "OFFSET_OUT_OF_RANGE",
    2: "CORRUPT_MESSAGE",
    3: "UNKNOWN_TOPIC_OR_PARTITION",
    5: "LEADER_NOT_AVAILABLE",
    6: "NOT_LEADER_OR_FOLLOWER",
    7: "REQUEST_TIMED_OUT",
    9: "REPLICA_NOT_AVAILABLE",
    10: "MESSAGE_TOO_LARGE",
    13: "NETWORK_EXCEPTION",
    14: "COORDINATOR_LOAD_IN_PROGRESS",
    15: "COORDINATOR_NOT_AVAILABLE",
    16: "NOT_COORDINATOR",
    17: "INVALID_TOPIC_EXCEPTION",
    18: "RECORD_LIST_TOO_LARGE",
    19: "NOT_ENOUGH_REPLICAS",
    20: "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    22: "ILLEGAL_GENERATION",
    24: "INVALID_GROUP_ID",
    25: "UNKNOWN_MEMBER_ID",
    27: "REBALANCE_IN_PROGRESS",
    29: "TOPIC_AUTHORIZATION_FAILED",
    30: "GROUP_AUTHORIZATION_FAILED",
    31: "CLUSTER_AUTHORIZATION_FAILED",
    33: "UNSUPPORTED_SASL_MECHANISM",
    34: "ILLEGAL_SASL_STATE",
    35: "UNSUPPORTED_VERSION",
    36: "TOPIC_ALREADY_EXISTS",
    41: "NOT_CONTROLLER",
    42: "INVALID_REQUEST",
    44: "POLICY_VIOLATION",
    47: "INVALID_PRODUCER_EPOCH",
    48: "INVALID_TXN_STATE",
    51: "CONCURRENT_TRANSACTIONS",
    56: "KAFKA_STORAGE_ERROR",
    58: "SASL_AUTHENTICATION_FAILED",
    79: "MEMBER_ID_REQUIRED",
    82: "FENCED_INSTANCE_ID",
    87: "INVALID_RECORD",
    89: "THROTTLING_QUOTA_EXCEEDED",
    90: "PRODUCER_FENCED",
}
BENIGN = frozenset({79})  # a step of joining a group

# api -> (first version with a throttle time in front, first flexible version); the error code follows directly
_DIRECT = {
    11: (2, 6),
    12: (1, 4),
    13: (1, 4),
    14: (1, 4),
    16: (1, 3),
    17: (99, 99),
    18: (99, 99),  # its response header is never flexible (KIP-511)
    22: (0, 2),
    25: (0, 3),
    26: (0, 3),
    36: (99, 2),
}
# api -> (throttle, flexible): an array of topics, each with an array of partitions: index, error code
_PARTITIONS = {0: (99, 9), 1: (1, 12), 8: (3, 8)}
_TOPICS = {19: (2, 5), 20: (1, 4)}  # an array of topics, each with an error code
_REPORTED = 100  # topics or partitions that are looked at


class ShortError(Exception):
    """The known bytes end here."""


class Fields:
    """Reads values one after the other; `flexible` versions have compact lengths and tags (KIP-482)."""

    def __init__(self, data: bytes, flexible: bool = False) -> None:
        self.data = data
        self.at = 0
        self.flexible = flexible

    def take(self, n: int) -> bytes:
        """The next `n` bytes. Raises ShortError."""
        if n < 0 or self.at + n > len(self.data):
            raise ShortError
        self.at += n
        return self.data[self.at - n : self.at]

    def int16(self) -> int:
        """A signed 16-bit integer."""
        return int(struct.unpack(">h", self.take(2))[0])

    def int32(self) -> int:
        """A signed 32-bit integer."""
        return int(struct.unpack(">i", self.take(4))[0])

    def varint(self) -> int:
        """An unsigned variable-length integer."""
        value = shift = 0
        while shift < 35:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ShortError

    def string(self) -> str:
        """A string that may be null (then empty)."""
        length = self.varint() - 1 if self.flexible else self.int16()
        return brief(self.take(length), 200) if length > 0 else ""

    def count(self) -> int:
        """The length of an array, at most `_REPORTED`."""
        length = self.varint() - 1 if self.flexible else self.int32()
        return max(0, min(length, _REPORTED))


def refusal(api: int, version: int, body: bytes) -> tuple[int, str] | None:
    """(error code, the broker's words or the topic) in what follows the correlation id; None: not found."""
    try:
        return _refusal(api, version, body)
    except ShortError:
        return None


def _refusal(api: int, version: int, body: bytes) -> tuple[int, str] | None:
    throttle, flexible = (_DIRECT | _PARTITIONS | _TOPICS | {3: (3, 9), 10: (1, 3)}).get(api, (-1, -1))
    if throttle < 0:
        return None
    fields = Fields(body, version >= flexible)
    if fields.flexible:
        fields.take(1)  # no tags in the header
    if version >= throttle:
        fields.int32()
    if _comes_first(api, version):
        code = fields.int16()
        text = fields.string() if code and (api == 36 or (api == 10 and version >= 1)) else ""
        return (code, text) if code or api != 1 else None
    if api == 10:
        return _coordinators(fields)
    if api == 3:
        return _metadata(fields, version)
    if api == 1:
        return None  # deep inside since version 0: told by the version 7 field, which all live clients use
    return _topics(fields, api, version)


def _comes_first(api: int, version: int) -> bool:
    """The error code of the whole answer, before anything else."""
    return api in _DIRECT or (api == 1 and version >= 7) or (api == 10 and version < 4)


def _coordinators(fields: Fields) -> tuple[int, str] | None:
    """FindCoordinator 4 and later: key, node, host, port, error, message for each."""
    for _ in range(fields.count()):
        fields.string()
        fields.int32()
        fields.string()
        fields.int32()
        code, text = fields.int16(), fields.string()
        if code:
            return code, text
        fields.take(1)
    return None


def _metadata(fields: Fields, version: int) -> tuple[int, str] | None:
    """The first topic's error, behind the list of brokers."""
    for _ in range(fields.count()):
        fields.int32()
        fields.string()
        fields.int32()
        if version >= 1:
            fields.string()
        if fields.flexible:
            fields.take(1)
    if version >= 2:
        fields.string()
    if version >= 1:
        fields.int32()
    if not fields.count():
        return None
    code = fields.int16()
    return (code, fields.string()) if code else None


def _topics(fields: Fields, api: int, version: int) -> tuple[int, str] | None:
    """The first error among topics, or the first partition of each."""
    for _ in range(fields.count()):
        name = fields.string()
        if api == 20 and version >= 6:
            fields.take(16)
        if api == 19:
            if version >= 7:
                fields.take(16)
            code = fields.int16()
            return (code, fields.string() if version >= 1 else name) if code else None
        if api == 20:
            code = fields.int16()
            return (code, name) if code else None
        if not fields.count():
            return None
        partition, code = fields.int32(), fields.int16()
        return (code, f"{name}-{partition}") if code else None
    return None
