"""How batteries are arranged in a bank."""

from dataclasses import dataclass
from typing import Self

from emulator.battery.models import MODELS, BatteryModel


@dataclass(frozen=True, kw_only=True)
class BankLayout:
    """Strings in parallel, each of batteries in series. Invalid arrangements are allowed: the BMS reports them."""

    strings: tuple[tuple[BatteryModel, ...], ...]

    def __post_init__(self) -> None:
        if not self.strings or not all(self.strings):
            raise ValueError("A bank needs at least one battery in every string.")

    @classmethod
    def of(cls, model: str, *, series: int = 1, parallel: int = 1) -> Self:
        """Return a bank of one model by name. Raises ValueError."""
        if model not in MODELS:
            raise ValueError(f"There is no battery model {model!r}; there are {', '.join(MODELS)}.")
        return cls(strings=((MODELS[model],) * series,) * parallel)

    @property
    def batteries(self) -> tuple[BatteryModel, ...]:
        """Every battery, string after string."""
        return tuple(model for string in self.strings for model in string)
