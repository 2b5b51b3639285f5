"""What the app's pages show of a bank and of one battery (M-V2, M-V4)."""

from dataclasses import dataclass

from emulator.bms.monitor import BalancerStatus


@dataclass(frozen=True, kw_only=True)
class BankPage:
    """The bank: V, °C, Ah; None = no battery in sight that tells."""

    balancer_status: BalancerStatus
    lowest_cell: float | None
    highest_cell: float | None
    lowest_temperature: float | None
    highest_temperature: float | None
    batteries: int
    cells: int
    cells_per_battery: int
    series: int
    parallel: int
    capacity_ah: int
    system_voltage: int


@dataclass(frozen=True, kw_only=True)
class BatteryPage:
    """One battery (M-B6): V, A, °C, Ah."""

    serial_number: str
    model: str
    capacity_ah: int
    firmware_version: str
    temperature: float
    voltage: float
    current: float
    cell_voltages: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class StatusPage:
    """The status page (M-V1): %, V, A, W, Ah, min; None = not known."""

    state_of_charge: float | None
    mode_on: bool
    voltage: float
    current: float | None
    power: float | None
    consumed_ah: float | None
    time_remaining: float | None
