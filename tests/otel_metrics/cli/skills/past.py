"""Skill files as other programs have written them: by hand, with what the contract says."""

import json
import time
from pathlib import Path
from typing import Any

__all__ = ["DAY_S", "Past", "write"]

DAY_S = 86_400


def write(path: Path, *records: dict[str, Any]) -> None:
    """Append records to a file, a JSON object a line."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


class Past:
    """What a skill has done, a record a minute, the newest a minute ago."""

    def __init__(self, folder: Path, skill: str, *, file: str | None = None) -> None:
        self.folder = folder
        self.skill = skill
        self._file = file or skill

    def runs(self, count: int, *, ms: float = 100.0, raised: int = 0, age_s: float = 0) -> None:
        """Write executions, of which the last `raised` raised."""
        for number, about in self._about(count, age_s):
            failed = number >= count - raised
            write(
                self._path("performance"),
                {
                    **about,
                    "execution_time_ms": ms,
                    "exception_occurred": failed,
                    "exception_type": "ValueError" if failed else None,
                    "memory_usage_mb": None,
                    "metric_type": "performance",
                },
            )

    def outcomes(
        self,
        count: int,
        *,
        wrong: int = 0,
        decision: Any = "approve",
        expected: Any = "reject",
        age_s: float = 0,
    ) -> None:
        """Write outcomes, of which the last `wrong` decided so and not as expected."""
        for number, about in self._about(count, age_s):
            correct = number < count - wrong
            write(
                self._path("outcomes"),
                {
                    **about,
                    "decision": decision,
                    "expected_decision": decision if correct else expected,
                    "correct": correct,
                    "confidence": 0.9,
                    "reasoning": "größer als 5 €",
                    "metric_type": "outcome",
                },
            )

    def fidelities(self, count: int, value: float = 0.95, *, age_s: float = 0) -> None:
        """Write fidelities of one value."""
        for _, about in self._about(count, age_s):
            write(
                self._path("fidelity"),
                {
                    **about,
                    "pattern_fidelity": value,
                    "patterns_followed": 19,
                    "patterns_missed": 1,
                    "patterns_detail": {"greets": True},
                    "metric_type": "fidelity",
                },
            )

    def promoted(self, from_state: str, to_state: str, *, age_s: float = 0) -> None:
        """Write a promotion."""
        now = time.time() - age_s
        write(
            self._path("promotion_log"),
            {
                "event_id": f"promo_{self.skill}_{int(now)}",
                "timestamp": now,
                "timestamp_iso": "2026-01-01T00:00:00",
                "skill_name": self.skill,
                "from_state": from_state,
                "to_state": to_state,
                "approver": "j.doe",
                "approval_ticket": "OPS-1",
                "reason": "ready",
                "automated_checks": {},
                "event_type": "promotion",
            },
        )

    def log(self) -> list[dict[str, Any]]:
        """Return the promotion log."""
        path = self._path("promotion_log")
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def _path(self, kind: str) -> Path:
        return self.folder / f"{self._file}_{kind}.json"

    def _about(self, count: int, age_s: float = 0) -> list[tuple[int, dict[str, Any]]]:
        newest = time.time() - 60 - age_s
        return [
            (
                number,
                {
                    "execution_id": f"e-{number}",
                    "timestamp": newest - 60 * (count - 1 - number),
                    "timestamp_iso": "2026-01-01T00:00:00",
                    "skill_name": self.skill,
                    "agent": "support",
                },
            )
            for number in range(count)
        ]
