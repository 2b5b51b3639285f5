"""Banks and devices to test with."""

from collections.abc import Callable
from random import Random

from emulator.battery.bank import Bank
from emulator.battery.layout import BankLayout
from emulator.battery.models import MODELS
from emulator.bms.bms import SmallBms

ONE_12V = BankLayout.of("12.8/100")
ONE_24V = BankLayout.of("25.6/200")
ONE_48V = BankLayout.of("51.2/100")
TWO_IN_PARALLEL = BankLayout.of("12.8/200", parallel=2)
FOUR_AS_24V = BankLayout.of("12.8/100", series=2, parallel=2)
MIXED = BankLayout(strings=((MODELS["12.8/100"],), (MODELS["12.8/200"],)))
UNEQUAL = BankLayout(strings=((MODELS["12.8/100"],) * 2, (MODELS["12.8/100"],)))


def make_bank(layout: BankLayout = ONE_12V, *, soc: float = 50.0, seed: int = 1, temperature: float = 20.0) -> Bank:
    return Bank.build(layout, random=Random(seed), state_of_charge=soc, temperature=temperature)


def make_bms(
    layout: BankLayout = ONE_12V, *, soc: float = 50.0, seed: int = 1, temperature: float = 20.0, known: bool = True
) -> SmallBms:
    return SmallBms.build(
        layout,
        random=Random(seed),
        state_of_charge=soc,
        temperature=temperature,
        state_of_charge_known=known,
    )


def run(bms: SmallBms, seconds: float, *, current: float = 0.0, ambient: float = 20.0) -> None:
    bms.step(current=current, ambient=ambient, seconds=seconds)


def run_until(
    bms: SmallBms,
    reached: Callable[[], bool],
    *,
    current: float,
    pace: float = 1.0,
    at_most: float = 24 * 3600.0,
) -> float:
    """Step until something is reached; return the seconds that it took."""
    elapsed = 0.0
    while not reached():
        assert elapsed < at_most, "was never reached"
        run(bms, pace, current=current)
        elapsed += pace
    return elapsed


def charge_to(bms: SmallBms, voltage: float, *, limit: float, seconds: float, pace: float = 5.0) -> None:
    """Charge as a charger does: a limited current, then a constant voltage, while the charger output is high."""
    for _ in range(round(seconds / pace)):
        wanted = min(limit, max(0.0, bms.current_at(voltage, pace)))
        run(bms, pace, current=wanted if bms.outputs.charger else 0.0)


def charge_fully(bms: SmallBms) -> None:
    """Charge as a charger does at 0.3 C, until the BMS has seen a full charge by itself."""
    capacity, voltage = bms.detected.capacity_ah, 14.2 * bms.detected.system_voltage / 12
    before, elapsed = bms.history.synchronizations, 0
    while bms.history.synchronizations == before:
        assert elapsed < 12 * 3600, "was never full"
        charge_to(bms, voltage, limit=0.3 * capacity, seconds=60, pace=15)
        elapsed += 60
