"""After which silence security groups forget an established connection, by the instance's type.

Source: EC2 API, ConnectionTrackingConfiguration ("350 seconds for Nitro v6 instance types, 432000 for all others"), and the
platform summaries of the EC2 instance types guide, as of 2026-11.
"""

from __future__ import annotations

from systrace.cloud.aws.calls import LISTS
from systrace.cloud.aws.inventory import Inventory, MissingError
from systrace.cloud.aws.records import text

SHORT_S = 350
NITRO_V6 = frozenset(
    "m8a m8azn m8gb m8gn m8i m8i-flex m8ib m8id m8idb m8idn m8in m8ine m9g m9gd "
    "c8a c8gb c8gn c8i c8i-flex c8ib c8id c8in c8ine "
    "r8a r8gb r8gn r8i r8i-flex r8ib r8id r8idb r8idn r8in x8aedz x8i i8ge hpc8a g7e p6-b200 p6-b300".split()
)


def is_short(inventory: Inventory, instance: str) -> bool:
    """Whether the instance's type is of those.

    Raises:
        MissingError: its type was not read.
    """
    kind = text(inventory.instance(instance), "InstanceType")
    if not kind:
        raise MissingError(f"the type of {instance} was not read", f"`{LISTS['Reservations'].command}`")
    return kind.partition(".")[0] in NITRO_V6
