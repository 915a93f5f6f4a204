"""The lines of a segment -> its lines without some records. Pure.

Where a record was stands `{"kind":"erased"}`, so that line numbers, by which records are known,
stay. Commit lines and the seal are made anew; the first line names what this segment replaces.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from otel_exporter_ndjson import DamagedError
from otel_exporter_ndjson.scan import Scan
from otel_exporter_ndjson.sealkey import SealKey
from otel_exporter_ndjson.segments import commit_line, seal_line
from otel_exporter_ndjson.values import escape
from otel_metrics.archive.matching import Wanted

__all__ = ["ERASED", "Rewriting"]

ERASED: Final = b'{"kind":"erased"}\n'
_REPLACES: Final = b',"replaces":'
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Rewriting:
    """Rewrites one sealed segment, line by line.

    Args:
        sha256, records: hash and record count of the segment as it was.
        reason: why, for the first line.
        key: what the new seal is signed with.

    Attributes:
        scan: the new lines; `scan.sha256` is the hash of the new segment at the end.
        erased: how many records were taken out by this.
    """

    def __init__(
        self, wanted: Wanted, *, sha256: str, records: int, reason: str, key: SealKey | None
    ) -> None:
        self._wanted = wanted
        self._replaces = {"sha256": sha256, "records": records, "reason": reason}
        self._key = key
        self._kept: list[bool] = []
        self.scan = Scan()
        self.erased = 0

    def lines(self, old: Iterable[bytes]) -> Iterator[bytes]:
        """Return the new lines.

        Raises:
            DamagedError: a line is not what a writer writes.
        """
        for line in old:
            new = self._line(line)
            self.scan.feed(new)
            yield new

    def _line(self, line: bytes) -> bytes:
        try:
            said = _decode(line)
            match said["kind"]:
                case "segment":
                    return self._head(said, line)
                case "metric" | "event":
                    return self._record(said, line)
                case "commit":
                    return self._commit(said)
                case "seal":
                    recovered = said.get("recovered") is True
                    return seal_line(
                        self.scan.records,
                        *self.scan.times,
                        self.scan.sha256,
                        recovered=recovered,
                        key=self._key,
                    )
        except (
            msgspec.MsgspecError,
            UnicodeDecodeError,
            KeyError,
            TypeError,
            RecursionError,
        ) as error:
            raise DamagedError(f"a line is not what a writer writes: {error}"[:200]) from None
        return line

    def _head(self, said: dict[str, Any], line: bytes) -> bytes:
        end = line.rindex(_REPLACES) if "replaces" in said else len(line) - len(b"}\n")
        new = b"%s%s%s}\n" % (line[:end], _REPLACES, escape(_encode(self._replaces)))
        if _decode(new) != {**said, "replaces": self._replaces}:
            raise DamagedError("its first line is not what a writer writes")
        return new

    def _record(self, said: dict[str, Any], line: bytes) -> bytes:
        kept = not self._wanted.matches(said)
        self._kept.append(kept)
        self.erased += not kept
        return line if kept else ERASED

    def _commit(self, said: dict[str, Any]) -> bytes:
        kept, self._kept = self._kept, []
        shape = None
        if "shape" in said:
            shape = escape(_encode(_shape(said["shape"], kept)))
        return commit_line(self.scan.records, self.scan.sha256, shape)


def _shape(shape: list[dict[str, Any]], kept: list[bool]) -> list[dict[str, Any]]:
    """Return how a batch was grouped, with the counts of the points that are kept."""
    points = iter(kept)

    def metric(count: Any) -> Any:
        if not isinstance(count, int):
            return count  # a metric without points, as it was exported
        return sum([next(points, True) for _ in range(min(count, len(kept)))])

    return [
        {
            **resource,
            "scopes": [
                {**scope, "metrics": [m for m in map(metric, scope["metrics"]) if m != 0]}
                for scope in resource["scopes"]
            ],
        }
        for resource in shape
    ]
