"""systrace reads strace's text, follows every socket, decodes what went over it, and says what went wrong.

    tracers --lines--> parser --records--> parser.syscalls --events--> streams --sockets, waits--> decoders
     (bytes)                                                                                          | messages
       ^                                                                                              v
     kernel (live facts, as `#` lines)    reporters <--Analysis-- pipeline <--findings-- rules <-- Evidence

Two ideas carry it:

1. strace text is the only interface between capture and analysis. Every tracer, the embedded one too, yields lines in
   strace's format, so every capture can be saved, mailed, replayed and turned into a test, and everything behind
   `tracers` is functions over iterables. What strace can't say stands in `# systrace:` lines of the recording.
2. The nouns are in one file (`model`), those of what was said in `messages`, those of a look at a live process in `look`;
   the verbs are in one folder per stage. Stages know the nouns, not each other:

    model, errors, registry, annotations   the foundation            imports nothing of systrace but itself
    calls, words, idle_limits, keepalive   the same: one table of calls and errors, one way to say a duration, one advice
    observations                           what was learned outside the trace: by probes, from a server's log
    outputs, units, settings               the same: what may be written, how people write numbers, defaults from files
    compiled                               the same: whether the scanner of records runs in C (`_scanner.c`) or in Python
    masking                                secrets: where they are, and what is shown in their place
    observations, course                   what others saw, and what led to a verdict: the same
    traffic                                what went over connections and when, where a report shows it: the same
    messages, look                         what was said, what was seen of a process: nouns of the foundation, too
    tracers                                running programs -> lines  foundation
    sources                                saved logs -> lines       foundation
    kernel                                 asks the running kernel, and judges nothing   foundation
    probes                                 asks the network -> observations: kinds/, one file each; idle/ proves a limit
                                           foundation, decoders
    cloud                                  what a cloud's own rules say -> observations: aws/, and in it targets/, one file
                                           a kind of hop            foundation
    parser                                 lines -> records -> events  foundation
    streams                                events -> sockets, waits  foundation
    decoders                               byte streams -> messages: protocols/, one file each; parts/ are their own
    bodies                                 what is wrong with a body  foundation
    rules                                  evidence -> findings: causes/, one file a family; case/, content/, look/,
                                           advice/, verdict/ serve them              foundation, bodies
    compare                                two Analysis -> where the runs differ   foundation
    reporters                              Analysis, Comparison -> bytes: formats/, one file each; views/, words/, shapes/
                                           serve them                foundation, compare
    serverlogs                             the other side's access logs -> observations   foundation, sources
    pipeline                               lines -> Analysis         the stages from parser to rules
    telemetry                              what monitoring is told of a run: outlets/, alarms/, one file each   foundation
    fleet                                  many recordings -> tables and one page; tables/, one file each
                                           pipeline, sources, reporters
    capture                                the course of `run` and `attach`: recording, keeper, analyst, report
    commands                               the command line          all of these; nothing imports it

Syscalls (parser/syscalls), decoders (decoders/protocols), rules (rules/causes), report formats (reporters/formats), tracers,
probes (probes/kinds), server logs (serverlogs/formats), tables of a fleet (fleet/tables), outlets and alarms of monitoring
(telemetry) and commands are plug-ins: one file each. Third-party packages are imported inside the functions that use them,
because `systrace --version` should not wait for any.

As a library:

    from systrace import Input, analyze

    with open("job.strace", "rb") as log:
        analysis = analyze([Input("job.strace", log)])
    print(analysis.verdict.headline)
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's: its import would make the time longer in which Ctrl-C meets Python's own handler
if TYPE_CHECKING:
    from typing import Any

    from systrace.errors import SystraceError
    from systrace.model import (
        Analysis,
        Endpoint,
        Event,
        Evidence,
        Finding,
        Health,
        Input,
        Line,
        Message,
        Process,
        Record,
        Socket,
        Source,
        Span,
        Stream,
        Verdict,
    )
    from systrace.pipeline import analyze

__version__ = "0.1.0"  # the only place: the build reads it here

__all__ = [
    "Analysis",
    "Endpoint",
    "Event",
    "Evidence",
    "Finding",
    "Health",
    "Input",
    "Line",
    "Message",
    "Process",
    "Record",
    "Socket",
    "Source",
    "Span",
    "Stream",
    "SystraceError",
    "Verdict",
    "analyze",
]

_ELSEWHERE = {"analyze": "systrace.pipeline", "SystraceError": "systrace.errors"}


def __getattr__(name: str) -> Any:
    """The exported names, each imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ELSEWHERE.get(name, "systrace.model")), name)
