"""What the agents of a session share: files, what was seen of them, and the model's stand-in.

No model is called. Where an agent would ask one, it analyses the file in full on this machine;
that is recorded as a call of the model `full-analysis` of the provider `local`, with the tokens
that Python's `tokenize` counts and the time that it took. It has no price, so it gets none.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from otel_metrics import sovereignty, tokens
from otel_metrics.demo.library import Source
from otel_metrics.demo.sight import Sight, count_tokens, perceive
from otel_metrics.demo.tally import Tally
from otel_metrics.skills.recorder import error_type

__all__ = ["MODEL", "PROVIDER", "Call", "Desk"]

PROVIDER: Final = "local"
MODEL: Final = "full-analysis"

SIGHTS_MAX: Final = 64
"""Files of which the agents remember what they saw."""


@dataclass(slots=True)
class Call:
    """What a full analysis reads and writes, filled in by who makes it.

    Attributes:
        input_tokens: tokens that it read; None where it failed before they were known.
        report: the text that it wrote.
    """

    input_tokens: int | None = None
    report: str | None = None


class Desk:
    """Where agents look things up. Not for several threads."""

    def __init__(
        self,
        read: Callable[[str], Source],
        tally: Tally,
        *,
        session_id: str,
        clock: Callable[[], float],
    ) -> None:
        self.tally = tally
        self.session_id = session_id
        self.clock = clock
        self._read = read
        self._sights: OrderedDict[bytes, Sight] = OrderedDict()

    def look(self, path: str) -> Sight:
        """Return what there is to see of a file: remembered by its contents, or seen anew.

        Raises:
            OSError: it cannot be read.
            SourceTooLargeError: it is too long.
            SyntaxError, UnicodeError, tokenize.TokenError: as `perceive` says.
        """
        source = self._read(path)
        digest = source.digest
        known = self._sights.get(digest)
        if known is not None:
            self._sights.move_to_end(digest)
            self.note("perception_cache_hit", {"path": path})
            return dataclasses.replace(known, source=source)
        with self.model_call("perception_vlm_call", {"path": path}) as call:
            sight = perceive(source)
            call.input_tokens, call.report = len(sight.lexemes), sight.outline
        self._sights[digest] = sight
        if len(self._sights) > SIGHTS_MAX:
            self._sights.popitem(last=False)
        return sight

    def note(self, event_type: str, about: Mapping[str, object]) -> None:
        """Record whether a piece of work was sovereign."""
        self.tally.sovereignty[event_type] += 1
        sovereignty.record(event_type, about, session_id=self.session_id)

    @contextmanager
    def model_call(self, event_type: str, about: Mapping[str, object]) -> Iterator[Call]:
        """Record what runs inside as the call of a model, a failed one too."""
        self.note(event_type, about)
        call = Call()
        error: str | None = None
        began_s = self.clock()
        try:
            yield call
        except Exception as raised:
            error = error_type(raised)
            raise
        finally:
            self._count(call, self.clock() - began_s, error)

    def _count(self, call: Call, duration_s: float, error: str | None) -> None:
        output = None if call.report is None else count_tokens(call.report)
        self.tally.model_calls += 1
        self.tally.input_tokens += call.input_tokens or 0
        self.tally.output_tokens += output or 0
        tokens.record(
            provider=PROVIDER,
            model=MODEL,
            input=call.input_tokens,
            output=output,
            duration_s=duration_s,
            error_type=error,
        )
