"""Numbers: the settings of the battery monitor, and the state of charge to set."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, override

from homeassistant.components.number import NumberDeviceClass, NumberEntity, NumberEntityDescription, NumberMode
from homeassistant.const import EntityCategory, Platform, UnitOfRatio
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.event import async_call_later

from .coordinator import PagesCoordinator, SmallBmsConfigEntry
from .entity import SETTINGS, Offers, PageEntity, Setting, async_add_offered
from .pages import RegisterKey
from .protocol.registers import LARGEST_SYSTEM_VOLTAGE, SMALLEST_SYSTEM_VOLTAGE, Name, named

PARALLEL_UPDATES: Final = 1


@dataclass(frozen=True, kw_only=True)
class SmallBmsNumberDescription(NumberEntityDescription):
    """One number and the register behind it.

    is_action: whether setting it does something once, instead of changing a setting. Such a number shows no value.
    """

    name_of_register: Name
    is_action: bool = False


def _number(setting: Setting, *, is_action: bool = False) -> SmallBmsNumberDescription:
    return SmallBmsNumberDescription(
        key=setting.name,
        name_of_register=setting.name,
        is_action=is_action,
        device_class=NumberDeviceClass(setting.device_class) if setting.device_class else None,
        entity_category=EntityCategory.CONFIG,
        mode=NumberMode.BOX,
        native_unit_of_measurement=setting.unit,
    )


NUMBERS: Final = (
    *map(_number, SETTINGS),
    _number(
        Setting(name=Name.STATE_OF_CHARGE, unit=UnitOfRatio.PERCENTAGE, device_class=NumberDeviceClass.BATTERY),
        is_action=True,
    ),
)


def _offers(pages: PagesCoordinator) -> Offers:
    return {
        row.key: partial(SmallBmsNumber, pages, row)
        for row in NUMBERS
        if pages.offered(row.name_of_register) and pages.can_write(row.name_of_register)
    }


def _ruled_out(pages: PagesCoordinator) -> Iterator[tuple[Platform, str]]:
    """Yield the settings that the device does not let anybody change."""
    return ((Platform.NUMBER, row.key) for row in NUMBERS if not pages.can_write(row.name_of_register))


async def async_setup_entry(
    _hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the numbers of one device."""
    async_add_offered(entry, async_add_entities, _offers, _ruled_out)


# For so long, in s, an input field shows something else, so that the browser draws it anew.
REDRAWN_AFTER: Final = 1


class SmallBmsNumber(PageEntity, NumberEntity):
    """One number; its limits depend on the voltage of the system."""

    entity_description: SmallBmsNumberDescription
    _end_redraw: CALLBACK_TYPE | None = None

    def __init__(self, coordinator: PagesCoordinator, description: SmallBmsNumberDescription) -> None:
        self._name = description.name_of_register
        self._limits = named(self._name)[0].limits
        super().__init__(coordinator, description, RegisterKey(name=self._name))

    @override
    async def async_set_native_value(self, value: float) -> None:
        try:
            await self.coordinator.async_write(self._name, value)
        except HomeAssistantError:
            if self.coordinator.can_write(self._name):
                self._async_redraw()
            raise
        if self.entity_description.is_action:
            self._async_redraw()

    @override
    async def async_will_remove_from_hass(self) -> None:
        await super().async_will_remove_from_hass()
        if self._end_redraw:
            self._end_redraw()

    @callback
    def _async_redraw(self) -> None:
        """Let the browser show the state again.

        It keeps what a user has entered until the state changes, even if the device refused it.
        """
        if self._end_redraw:
            self._end_redraw()
        self._attr_native_value = self._value if self.entity_description.is_action else None
        self.async_write_ha_state()
        self._end_redraw = async_call_later(self.hass, REDRAWN_AFTER, self._async_redrawn)

    @callback
    def _async_redrawn(self, _now: datetime) -> None:
        self._end_redraw = None
        self._async_take()
        self.async_write_ha_state()

    @property
    def _value(self) -> float | None:
        """What the device has."""
        value = self.coordinator.values.value(RegisterKey(name=self._name))
        return value if isinstance(value, int | float) else None

    @override
    def _shown(self) -> object:
        self._limit()
        self._attr_native_value = None if self.entity_description.is_action else self._value
        return self._attr_native_value, self._attr_native_min_value, self._attr_native_max_value

    def _limit(self) -> None:
        """Take over the limits, or those of any system voltage while it is not known."""
        if self._limits is None:
            return
        voltage = self.coordinator.system_voltage
        self._attr_native_min_value = self._limits.at(voltage or SMALLEST_SYSTEM_VOLTAGE).low
        self._attr_native_max_value = self._limits.at(voltage or LARGEST_SYSTEM_VOLTAGE).high
        self._attr_native_step = self._limits.step
