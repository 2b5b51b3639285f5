"""Numbers: the settings of the battery monitor, and the state of charge to set."""

from dataclasses import dataclass
from functools import partial
from typing import Final, override

from homeassistant.components.number import NumberDeviceClass, NumberEntity, NumberEntityDescription, NumberMode
from homeassistant.const import EntityCategory, UnitOfElectricPotential, UnitOfRatio, UnitOfTime
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import PagesCoordinator, SmallBmsConfigEntry
from .entity import Offers, PageEntity, async_add_offered
from .pages import RegisterKey
from .protocol.registers import LARGEST_SYSTEM_VOLTAGE, SMALLEST_SYSTEM_VOLTAGE, Name, named

PARALLEL_UPDATES: Final = 1


@dataclass(frozen=True, kw_only=True)
class SmallBmsNumberDescription(NumberEntityDescription):
    """One number and the register behind it."""

    name_of_register: Name


def _number(name: Name, unit: str, device_class: NumberDeviceClass | None = None) -> SmallBmsNumberDescription:
    return SmallBmsNumberDescription(
        key=name,
        name_of_register=name,
        device_class=device_class,
        entity_category=EntityCategory.CONFIG,
        mode=NumberMode.BOX,
        native_unit_of_measurement=unit,
    )


NUMBERS: Final = (
    _number(Name.CHARGED_VOLTAGE, UnitOfElectricPotential.VOLT, NumberDeviceClass.VOLTAGE),
    _number(Name.TAIL_CURRENT, UnitOfRatio.PERCENTAGE),
    _number(Name.CHARGED_DETECTION_TIME, UnitOfTime.MINUTES, NumberDeviceClass.DURATION),
    _number(Name.LOW_SOC_WARNING, UnitOfRatio.PERCENTAGE, NumberDeviceClass.BATTERY),
    _number(Name.DISCHARGE_FLOOR, UnitOfRatio.PERCENTAGE, NumberDeviceClass.BATTERY),
    _number(Name.PRE_ALARM_CELL_VOLTAGE, UnitOfElectricPotential.VOLT, NumberDeviceClass.VOLTAGE),
    _number(Name.STATE_OF_CHARGE, UnitOfRatio.PERCENTAGE, NumberDeviceClass.BATTERY),
)


def _offers(pages: PagesCoordinator) -> Offers:
    return {row.key: partial(SmallBmsNumber, pages, row) for row in NUMBERS if pages.offered(row.name_of_register)}


async def async_setup_entry(
    _hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the numbers of one device."""
    async_add_offered(entry, async_add_entities, _offers)


class SmallBmsNumber(PageEntity, NumberEntity):
    """One number; what it takes depends on the voltage of the system."""

    entity_description: SmallBmsNumberDescription

    def __init__(self, coordinator: PagesCoordinator, description: SmallBmsNumberDescription) -> None:
        self._name = description.name_of_register
        self._limits = named(self._name)[0].limits
        super().__init__(coordinator, description, RegisterKey(name=self._name))

    @override
    async def async_set_native_value(self, value: float) -> None:
        await self.coordinator.async_write(self._name, value)

    @override
    def _shown(self) -> object:
        self._limit()
        value = self.coordinator.values.value(RegisterKey(name=self._name))
        self._attr_native_value = value if isinstance(value, int | float) else None
        return self._attr_native_value, self._attr_native_min_value, self._attr_native_max_value

    def _limit(self) -> None:
        """Take over the limits, those of any system voltage while it is not known."""
        if self._limits is None:
            return
        voltage = self.coordinator.system_voltage
        self._attr_native_min_value = self._limits.at(voltage or SMALLEST_SYSTEM_VOLTAGE).low
        self._attr_native_max_value = self._limits.at(voltage or LARGEST_SYSTEM_VOLTAGE).high
        self._attr_native_step = self._limits.step
