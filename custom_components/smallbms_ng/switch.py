"""Switches: the system, as the app switches it."""

from dataclasses import dataclass
from functools import partial
from typing import Final, override

from homeassistant.components.switch import SwitchDeviceClass, SwitchEntity, SwitchEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import SmallBmsConfigEntry
from .entity import Offers, PageEntity, async_add_offered
from .page_values import Want
from .pages import PagesCoordinator
from .protocol.registers import Mode, Name

PARALLEL_UPDATES: Final = 1


@dataclass(frozen=True, kw_only=True)
class SmallBmsSwitchDescription(SwitchEntityDescription):
    """One switch, and the mode of the device for each of its states."""

    on: Mode
    off: Mode


SWITCHES: Final = (
    # Off, it cuts the loads, perhaps Home Assistant itself. As configuration it is left alone by what switches a whole
    # area or floor, and by voice.
    SmallBmsSwitchDescription(
        key="system",
        device_class=SwitchDeviceClass.SWITCH,
        entity_category=EntityCategory.CONFIG,
        on=Mode.ON,
        off=Mode.OFF,
    ),
)


def _offers(pages: PagesCoordinator) -> Offers:
    return {row.key: partial(SmallBmsSwitch, pages, row) for row in SWITCHES if pages.offered(Name.MODE)}


async def async_setup_entry(
    _hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the switch of one device."""
    async_add_offered(entry, async_add_entities, _offers)


class SmallBmsSwitch(PageEntity, SwitchEntity):
    """The mode of the system. Off, both outputs float (M-O4)."""

    entity_description: SmallBmsSwitchDescription

    def __init__(self, coordinator: PagesCoordinator, description: SmallBmsSwitchDescription) -> None:
        super().__init__(coordinator, description, Want(name=Name.MODE))

    @override
    async def async_turn_on(self, **_kwargs: object) -> None:
        await self.coordinator.async_write(Name.MODE, self.entity_description.on)

    @override
    async def async_turn_off(self, **_kwargs: object) -> None:
        await self.coordinator.async_write(Name.MODE, self.entity_description.off)

    @override
    def _shown(self) -> object:
        mode = self.coordinator.values.value(Want(name=Name.MODE))
        self._attr_is_on = None if mode is None else mode == self.entity_description.on
        return self._attr_is_on
