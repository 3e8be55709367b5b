"""The same records from AWS itself, by boto3: each list is asked for when it is needed, once. Nothing is ever changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from systrace.cloud.aws.calls import CLUSTERS, DETAILS, EVENTS, LISTS, TASKS, Call
from systrace.cloud.aws.flowlogs import AROUND_S
from systrace.cloud.aws.inventory import Inventory
from systrace.errors import CaptureError, MissingExtraError

_READS = ("describe_", "get_", "list_", "filter_log_events")
_MOST_EVENTS = 10_000


class Live(Inventory):
    """An inventory that asks. Region and credentials are the SDK's usual ones (AWS_PROFILE, AWS_REGION, the host's role)."""

    def __init__(self) -> None:
        """Nothing is asked yet.

        Raises:
            MissingExtraError: boto3 is not installed.
            CaptureError: no region or no credentials are known.
        """
        super().__init__()
        try:
            import boto3
        except ImportError:
            raise MissingExtraError("boto3", "aws") from None
        with _one_line():
            self._session = boto3.Session()
            known = self._session.get_credentials()
        if known is None:
            raise CaptureError("AWS credentials are not known: AWS_PROFILE, or a role of this host; else --data DIR")
        if self._session.region_name is None:
            raise CaptureError("the AWS region is not known: AWS_REGION, or --data DIR")
        self._clients: dict[str, Any] = {}
        self._asked: set[tuple[str, str]] = set()

    def _ask(self, key: str, owner: str = "") -> None:
        if (key, owner) in self._asked:
            return
        self._asked.add((key, owner))
        if key == "tasks":
            self._ask_task(owner)
            return
        call = DETAILS[key] if owner else LISTS.get(key)
        if call is None:
            return
        arguments = dict(call.fixed) | ({call.argument: owner} if owner else {})
        with self._refusals(key):
            records = list(self._read(call, call.key or key, **arguments))
            if owner:
                self.add_details(key, owner, records)
            else:
                self.add(key, records)

    def _ask_task(self, said: str) -> None:
        """A task's cluster stands in its ARN; else all clusters are looked through."""
        parts = said.rpartition(":")[2].split("/")
        with self._refusals("tasks"):
            clusters = [parts[1]] if len(parts) == 3 else list(self._read(CLUSTERS, CLUSTERS.key))
            for cluster in clusters:
                self.add("tasks", list(self._read(TASKS, TASKS.key, cluster=cluster, tasks=[said.rpartition("/")[2]])))

    def events(self, group: str, words: str, when_s: tuple[float, float] | None = None) -> list[str]:
        """Messages of a CloudWatch log group that hold these words, of a time (Unix), else the latest day's.

        Raises:
            CaptureError: they may not be read.
        """
        import time

        now = time.time()
        since, until = when_s or (now - 86400, now)
        window = {"startTime": int(since - AROUND_S) * 1000, "endTime": int(until + AROUND_S) * 1000}
        found: list[str] = []
        with _one_line():
            for each in self._read(EVENTS, EVENTS.key, logGroupName=group, filterPattern=words, **window):
                found.append(str(each.get("message", "")))
                if len(found) >= _MOST_EVENTS:
                    break
        return found

    @contextlib.contextmanager
    def _refusals(self, key: str) -> Iterator[None]:
        """What may not be read is remembered as such: a refusal is no answer."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            yield
        except ClientError as error:
            told = error.response.get("Error", {})
            self.refused(key, f"{told.get('Code', 'refused')}")
        except ResponseParserError:
            self.refused(key, "the answer is none of AWS's")
        except BotoCoreError as error:
            self.refused(key, str(error))

    def _read(self, call: Call, key: str, **arguments: Any) -> Iterator[Any]:
        """All pages of an operation that only reads.

        Raises:
            ValueError: it is none of those.
        """
        if not call.operation.startswith(_READS):
            raise ValueError(f"{call.operation} may change something")
        client = self._clients.get(call.service)
        if client is None:
            from botocore.config import Config

            patience = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 3})
            client = self._clients[call.service] = self._session.client(call.service, config=patience)
        if client.can_paginate(call.operation):
            pages = client.get_paginator(call.operation).paginate(**arguments)
        else:
            pages = [getattr(client, call.operation)(**arguments)]
        for page in pages:
            found = page.get(key) if isinstance(page, Mapping) else None
            yield from [found] if isinstance(found, Mapping) else found or []


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise CaptureError(f"AWS: {error}") from None
