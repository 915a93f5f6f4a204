"""How many sockets stay open: in all, and from one address."""

from otel_metrics.web.seats import SEATS_MAX, SEATS_PER_PEER_MAX, Seats


def test_one_address_does_not_have_all_seats() -> None:
    """Another one still finds a seat."""
    seats = Seats()
    taken = [seats.take("192.0.2.1") for _ in range(SEATS_PER_PEER_MAX + 1)]

    assert taken == [True] * SEATS_PER_PEER_MAX + [False]
    assert seats.take("192.0.2.2")


def test_loopback_may_have_all_seats() -> None:
    """A proxy there is many clients."""
    seats = Seats()
    taken = [seats.take("127.0.0.1") for _ in range(SEATS_MAX + 1)]

    assert taken == [True] * SEATS_MAX + [False]
    assert not seats.take("192.0.2.1")


def test_a_seat_that_is_left_is_free() -> None:
    """For whoever comes next."""
    seats = Seats()
    for _ in range(SEATS_PER_PEER_MAX):
        seats.take("192.0.2.1")
    seats.leave("192.0.2.1")

    assert [seats.take("192.0.2.1"), seats.take("192.0.2.1")] == [True, False]
