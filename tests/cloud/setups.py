"""All network set-ups."""

from __future__ import annotations

from tests.cloud import setups_balancers, setups_filters, setups_hops, setups_services
from tests.cloud.registering import SETUPS, Setup

__all__ = ["SETUPS", "Setup", "setups_balancers", "setups_filters", "setups_hops", "setups_services"]
