"""What options take that is measured: a number between bounds, a span of time with its unit."""

import math
from typing import Any

import click

from otel_exporter_ndjson.settings import duration

__all__ = ["Number", "Span"]


class Number(click.ParamType[float]):
    """A finite number.

    Args:
        accepted: what to give, for who gave something else.
    """

    name = "number"

    def __init__(self, accepted: str, *, least: float = 0, most: float = math.inf) -> None:
        self._accepted = accepted
        self._least = least
        self._most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        text = str(value).strip()
        try:
            number = float(text)
        except ValueError:
            self._refuse(text, "is no number", param, ctx)
        if not math.isfinite(number):
            self._refuse(text, "is no finite number", param, ctx)
        if number < self._least:
            self._refuse(text, f"is below {self._least:g}", param, ctx)
        if number > self._most:
            self._refuse(text, f"is above {self._most:g}", param, ctx)
        return number

    def _refuse(
        self, text: str, wrong: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        self.fail(f"{text!r} {wrong}; give {self._accepted}", param, ctx)


class Span(click.ParamType[float]):
    """A span of time with its unit, in seconds: a bare number is milliseconds in a variable, and
    to people whatever they have in mind.

    Args:
        least_s: a shorter one is refused.
        usual: units that people will mean who gave none.
    """

    name = "duration"

    def __init__(self, usual: tuple[str, str], *, least_s: float = 0) -> None:
        self._usual = usual
        self._least_s = least_s

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        text = str(value).strip()
        if text.replace(".", "", 1).isdigit():
            meant = " or ".join(text + unit for unit in self._usual)
            self.fail(f"{text!r} has no unit; give {meant}", param, ctx)
        try:
            return duration(self._least_s)(text)
        except ValueError as error:
            is_time = str(error).startswith("must")
            wrong = str(error) if is_time else "is no time; give a number with s, m, h or d"
            self.fail(f"{text!r} {wrong}", param, ctx)
