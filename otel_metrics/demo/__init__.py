"""The agents of `otel-metrics demo`: real work on real input, recorded as a service would.

They read the source files of the installed Python standard library and no model: where an agent
would ask one, a full analysis on this machine stands for it, with its real tokens and duration.
"""

from otel_metrics.demo.library import Library, Source, SourceTooLargeError
from otel_metrics.demo.reader import find_library, read_source
from otel_metrics.demo.session import Progress, Session
from otel_metrics.demo.summary import Closing, summarise
from otel_metrics.demo.tally import SkillTally, Tally

__all__ = [
    "Closing",
    "Library",
    "Progress",
    "Session",
    "SkillTally",
    "Source",
    "SourceTooLargeError",
    "Tally",
    "find_library",
    "read_source",
    "summarise",
]
