"""What a route leads to: one file a kind, under the first letters of its id."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from systrace.registry import Registry

if TYPE_CHECKING:
    from systrace.cloud.aws.routes import Route
    from systrace.cloud.aws.walk import Walk

Cross = Callable[["Walk", "Route"], None]
TARGETS: Registry[Cross] = Registry("systrace.cloud.aws.targets")


def target(*kinds: str) -> Callable[[Cross], Cross]:
    """Register a function for ids that begin with these: nat for nat-0123."""

    def enter(cross: Cross) -> Cross:
        for kind in kinds:
            TARGETS.add(kind, cross)
        return cross

    return enter
