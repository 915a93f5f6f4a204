"""Half a character in a label, as a name that was cut in the middle has."""

from typing import Final

from tests.compare.attach import OURS, PLAIN_PAGE
from tests.compare.lab import scraped
from tests.compare.pain import Pain

__all__ = ["PAIN"]

PROGRAM: Final = r"""
orders = metrics.get_meter("shop").create_counter("orders")
orders.add(1, {"customer": "Anna"})
orders.add(1, {"customer": "smile \ud83d"})
print("ready", flush=True)
input()
"""


PAIN: Final = Pain(
    title="Half an emoji in a label: `/metrics` answers",
    reported=(),
    plain=PLAIN_PAGE + PROGRAM,
    ours=OURS + PROGRAM,
    measure=scraped,
    hurts=lambda status: status != 200,
    shown=lambda status: f"HTTP {status}",
)
