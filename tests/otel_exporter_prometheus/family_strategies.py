"""Families as hypothesis draws them: any numbers, labels and exemplars that a page may hold."""

from hypothesis import strategies as st

from otel_exporter_prometheus.merge import UNSET_BOUNDS, Family, Rule
from otel_exporter_prometheus.naming import Instrument
from otel_exporter_prometheus.points import Buckets, Number, Octaves, Point, Shown

COUNTS = st.integers(0, 2**53)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LABELS = st.text(st.sampled_from('abc="\\,é\n'), max_size=8)
TIMES = st.integers(0, 2**63 - 1)
EXEMPLARS = st.lists(st.builds(Shown, LABELS, NUMBERS, TIMES), max_size=2).map(
    lambda some: tuple(sorted(some, key=lambda each: each.time_unix_nano))
)
INSTRUMENTS: tuple[Instrument, ...] = ("counter", "updowncounter", "gauge", "histogram")
KINDS = {"updowncounter": "gauge"}


def _series(instrument: Instrument, bounds: tuple[float, ...]) -> st.SearchStrategy[Point]:
    if bounds == UNSET_BOUNDS:
        octaves = st.dictionaries(st.integers(-1074, 1024), COUNTS, max_size=4)
        return st.builds(Octaves, COUNTS, octaves, NUMBERS, EXEMPLARS)
    if instrument == "histogram":
        size = len(bounds) + 1
        counts = st.lists(COUNTS, min_size=size, max_size=size)
        return st.builds(Buckets, counts, NUMBERS | st.none(), EXEMPLARS)
    exemplars = EXEMPLARS.map(lambda some: some[:1])
    return st.builds(Number, NUMBERS, TIMES if instrument == "gauge" else st.just(0), exemplars)


@st.composite
def families(draw: st.DrawFn) -> list[Family]:
    """Return families of one process, each name once."""
    made = []
    for name in draw(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=4)):
        instrument = draw(st.sampled_from(INSTRUMENTS))
        bounds: tuple[float, ...] = ()
        if instrument == "histogram":
            bounds = draw(st.sampled_from([UNSET_BOUNDS, (), (1.0,), (0.5, 2.0, 8.0)]))
        rules: list[Rule] = ["min", "max", "newest", "sum"]
        made.append(
            Family(
                name=f"{name}_{instrument}",
                kind=KINDS.get(instrument, instrument),  # type: ignore[arg-type] # of the four
                unit=draw(TEXTS),
                description=draw(TEXTS),
                source=(draw(TEXTS), instrument),
                rule="sum" if instrument == "histogram" else draw(st.sampled_from(rules)),
                bounds=bounds,
                series=draw(
                    st.dictionaries(LABELS, _series(instrument, bounds), min_size=1, max_size=3)
                ),
            )
        )
    return made
