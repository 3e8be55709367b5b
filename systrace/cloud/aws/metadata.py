"""Which network interface this host, or container, has: by the metadata that AWS gives to it, without credentials.

Source: EC2 user guide, instance metadata (IMDSv2); ECS developer guide, task metadata endpoint version 4.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from systrace.cloud.aws.records import dicts, text, texts
from systrace.cloud.aws.sources import Hint

_DEFAULT = "http://169.254.169.254"
_WAIT_S = 1.0
_MOST_BYTES = 1 << 20
_FAMILY = "latest/meta-data"


def hint() -> Hint:
    """Of the task where this is one, else of the instance; an empty one elsewhere."""
    return _task() or _instance() or Hint()


def _task() -> Hint | None:
    base = os.environ.get("ECS_CONTAINER_METADATA_URI_V4", "")
    if not base.startswith("http://"):
        return None
    try:
        told = json.loads(_get(f"{base}/task"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(told, Mapping):
        return None
    for container in dicts(told, "Containers"):
        for each in dicts(container, "Networks"):
            if text(each, "NetworkMode") == "awsvpc":
                addresses = (*texts(each, "IPv4Addresses"), *texts(each, "IPv6Addresses"))
                return Hint(addresses=addresses, mac=text(each, "MACAddress"), where="task metadata")
    return None


def _instance() -> Hint | None:
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").rstrip("/") or _DEFAULT
    if not base.startswith("http://"):
        return None
    try:
        token = _get(f"{base}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, method="PUT")
        headers = {"X-aws-ec2-metadata-token": token}
        mac = _get(f"{base}/{_FAMILY}/mac", headers)
        identity = _get(f"{base}/{_FAMILY}/network/interfaces/macs/{mac}/interface-id", headers)
    except (OSError, ValueError):
        return None
    return Hint(mac=mac, identity=identity, where="instance metadata") if identity.startswith("eni-") else None


def _get(url: str, headers: dict[str, str] | None = None, *, method: str = "GET") -> str:
    """One line, or JSON. No proxy is asked: the address is of this host's own network.

    Raises:
        OSError: nobody answers, or with an error.
        ValueError: what was answered is no text, or stands in no URL.
    """
    import urllib.request
    from http.client import HTTPException

    asked = urllib.request.Request(url, headers=headers or {}, method=method)  # noqa: S310 (http alone, see above)
    opener: Any = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=_WAIT_S) as answer:
            found: bytes = answer.read(_MOST_BYTES)
    except HTTPException as error:
        raise OSError(str(error)) from None
    return found.decode("ascii").strip()
