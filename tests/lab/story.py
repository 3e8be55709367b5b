"""A lab described in data: which servers run, which faults are set. `samples/*/setup.json` are such descriptions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.network import DNS, FAULTS, SERVER, Lab
from tests.lab.servers import running

LAST_BYTE = float(SERVER.rpartition(".")[2])  # the address that the name server gives for every name


@dataclass(frozen=True, slots=True)
class Story:
    """`servers`: (behaviour, address, port[, number]); `faults`: name of a function in `network` -> its arguments."""

    title: str = ""
    servers: Sequence[Sequence[Any]] = ()
    faults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    names: bool = True  # does the name server run?
    end_after_s: float | None = None  # SIGTERM to the job, as a scheduler's limit


def load(folder: Path) -> Story:
    """The story of a sample. Raises OSError, ValueError or TypeError when its setup.json is missing or wrong."""
    return Story(**json.loads((folder / "setup.json").read_text()))


@contextmanager
def playing(story: Story) -> Iterator[Lab]:
    """The lab with the story's servers and faults, for the time of the block. Raises KeyError for an unknown fault."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        for name, address, port, *number in story.servers:
            stack.enter_context(running(lab.server, name, address, port, *number))
        if story.names:
            stack.enter_context(running(lab.server, "name-server", DNS, 53, LAST_BYTE))
        for fault, arguments in story.faults.items():
            FAULTS[fault](lab, **arguments)
        yield lab
