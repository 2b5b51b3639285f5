"""What is left after a shutdown for low cell voltage (M-D1)."""

import pytest

from custom_components.smallbms_ng.protocol.energy import Drawn, ReserveCountdown

HOUR = 3600
RESIDUAL = 0.01
CAPACITY = 200


@pytest.fixture
def countdown() -> ReserveCountdown:
    """Return one that has just begun."""
    countdown = ReserveCountdown(RESIDUAL)
    countdown.take(shut_down=True, current=None, at=0)
    return countdown


def test_m_d1_10_milliamperes_ruin_200_amphours_in_200_hours(countdown: ReserveCountdown) -> None:
    assert countdown.left(CAPACITY, 0) == pytest.approx(2)
    assert countdown.time_left(CAPACITY, 0) == pytest.approx(200)
    assert countdown.time_left(CAPACITY, 50 * HOUR) == pytest.approx(150)


def test_nothing_is_left_in_the_end(countdown: ReserveCountdown) -> None:
    assert countdown.left(CAPACITY, 300 * HOUR) == 0
    assert countdown.time_left(CAPACITY, 300 * HOUR) == 0


def test_while_there_is_no_shutdown_nothing_is_counted(countdown: ReserveCountdown) -> None:
    countdown.take(shut_down=False, current=None, at=HOUR)
    assert countdown.left(CAPACITY, HOUR) is None
    assert countdown.time_left(CAPACITY, HOUR) is None


def test_the_next_shutdown_begins_anew(countdown: ReserveCountdown) -> None:
    countdown.take(shut_down=False, current=None, at=HOUR)
    countdown.take(shut_down=True, current=-5, at=2 * HOUR)
    assert countdown.left(CAPACITY, 2 * HOUR) == pytest.approx(2)


@pytest.mark.parametrize("offset", [-0.2, -0.1, 0.1, 0.2])
def test_the_last_digit_of_the_current_is_no_current(countdown: ReserveCountdown, offset: float) -> None:
    """The record has steps of 0.1 A, and a residual current is ten times less."""
    for hour in range(1, 51):
        countdown.take(shut_down=True, current=offset, at=hour * HOUR)
    assert countdown.time_left(CAPACITY, 50 * HOUR) == pytest.approx(150)


def test_how_long_it_lasts_depends_on_what_flows_now(countdown: ReserveCountdown) -> None:
    countdown.take(shut_down=True, current=-5, at=0)
    left = 2 - 5 / 60
    assert countdown.time_left(CAPACITY, 60) == pytest.approx(left / 5)
    assert (countdown.time_left(CAPACITY, HOUR) or 0) > 100, "nobody knows any more what flows"
    countdown.take(shut_down=True, current=5, at=60)
    assert countdown.time_left(CAPACITY, 60) == pytest.approx(left / RESIDUAL), "as if charging stopped now"


def test_nothing_was_drawn_while_there_was_no_shutdown() -> None:
    assert ReserveCountdown(RESIDUAL).left(CAPACITY, HOUR) is None


def test_without_a_residual_current_nobody_knows_how_long() -> None:
    countdown = ReserveCountdown(0)
    countdown.take(shut_down=True, current=None, at=0)
    assert countdown.left(CAPACITY, 0) == pytest.approx(2)
    assert countdown.time_left(CAPACITY, 0) is None


@pytest.mark.parametrize(
    ("current", "drawn"),
    [
        (None, RESIDUAL / 60),
        (0.0, RESIDUAL / 60),
        (-0.6, 0.6 / 60),  # more than the residual current flows
    ],
)
def test_what_is_measured_flows_on(countdown: ReserveCountdown, current: float | None, drawn: float) -> None:
    countdown.take(shut_down=True, current=current, at=0)
    assert countdown.left(CAPACITY, 60) == pytest.approx(2 - drawn)
    countdown.take(shut_down=True, current=None, at=60)
    assert countdown.left(CAPACITY, 60) == pytest.approx(2 - drawn), "nothing jumps"


def test_what_is_charged_is_given_back_but_no_more(countdown: ReserveCountdown) -> None:
    countdown.take(shut_down=True, current=-60, at=0)
    countdown.take(shut_down=True, current=30, at=60)
    assert countdown.left(CAPACITY, 60) == pytest.approx(1)
    countdown.take(shut_down=True, current=60, at=120)
    assert countdown.left(CAPACITY, 120) == pytest.approx(1.5)
    assert countdown.left(CAPACITY, 180) == 2
    countdown.take(shut_down=True, current=None, at=180)
    assert countdown.left(CAPACITY, 180) == pytest.approx(2)


def test_what_was_measured_is_not_taken_for_all_of_a_silence(countdown: ReserveCountdown) -> None:
    """The first two minutes of it are; after that, the residual current is."""
    countdown.take(shut_down=True, current=-3, at=0)
    assert countdown.left(CAPACITY, HOUR) == pytest.approx(2 - 0.1 - RESIDUAL * 58 / 60)


def test_where_it_is_measured_seldom_it_holds_for_longer() -> None:
    countdown = ReserveCountdown(RESIDUAL, holds_for=600)
    for at in range(0, HOUR, 300):
        countdown.take(shut_down=True, current=-1, at=at)
        assert countdown.time_left(CAPACITY, at + 300) == pytest.approx(2 - (at + 300) / HOUR)
    assert countdown.left(CAPACITY, HOUR) == pytest.approx(1)


def test_a_clock_that_is_put_back_gives_nothing_back() -> None:
    countdown = ReserveCountdown(RESIDUAL, Drawn(amphours=1, at=HOUR))
    countdown.take(shut_down=True, current=None, at=0)
    assert countdown.left(CAPACITY, 0) == pytest.approx(1)
