"""Switches: the system, on or off, as in the app."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, override

from homeassistant.components.switch import SwitchDeviceClass, SwitchEntity, SwitchEntityDescription
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from . import clock
from .connection.errors import Lost
from .coordinator import InstantReadoutCoordinator, PagesCoordinator, SmallBmsConfigEntry
from .entity import Offers, PageEntity, async_add_offered
from .pages import RegisterKey
from .protocol.registers import Mode, Name

PARALLEL_UPDATES: Final = 1


@dataclass(frozen=True, kw_only=True)
class SmallBmsSwitchDescription(SwitchEntityDescription):
    """One switch, and the mode of the device for each of its states."""

    on: Mode
    off: Mode


SWITCHES: Final = (
    # Switching it off disconnects the loads, perhaps Home Assistant itself. So it is a configuration entity, which
    # actions on a whole area or floor and voice assistants leave alone.
    SmallBmsSwitchDescription(
        key="system",
        device_class=SwitchDeviceClass.SWITCH,
        entity_category=EntityCategory.CONFIG,
        on=Mode.ON,
        off=Mode.OFF,
    ),
)


def _offers(readings: InstantReadoutCoordinator, pages: PagesCoordinator) -> Offers:
    has_mode = pages.offered(Name.MODE) and pages.can_write(Name.MODE)
    return {row.key: partial(SmallBmsSwitch, pages, row, readings) for row in SWITCHES if has_mode}


def _ruled_out(pages: PagesCoordinator) -> Iterator[tuple[Platform, str]]:
    """Yield the switch if the device does not let anybody change its mode."""
    return ((Platform.SWITCH, row.key) for row in SWITCHES if not pages.can_write(Name.MODE))


async def async_setup_entry(
    _hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the switch of one device."""
    async_add_offered(entry, async_add_entities, partial(_offers, entry.runtime_data.instant_readout), _ruled_out)


class SmallBmsSwitch(PageEntity, SwitchEntity):
    """The mode of the system. Off, both outputs float (M-O4)."""

    entity_description: SmallBmsSwitchDescription
    _is_switching = False

    def __init__(
        self,
        coordinator: PagesCoordinator,
        description: SmallBmsSwitchDescription,
        readings: InstantReadoutCoordinator,
    ) -> None:
        self._want = RegisterKey(name=Name.MODE)
        super().__init__(coordinator, description, self._want)
        self._readings = readings

    @override
    async def async_turn_on(self, **_kwargs: object) -> None:
        await self.coordinator.async_write(Name.MODE, self.entity_description.on)

    @override
    async def async_turn_off(self, **_kwargs: object) -> None:
        before, is_change = self._readings.switched_off_at, self.is_on is not False
        # Noted before writing: the device may report the change while it is being written.
        if is_change:
            self._readings.async_note_switched_off(clock.now())
        self._is_switching = True
        try:
            await self.coordinator.async_write(Name.MODE, self.entity_description.off)
        except HomeAssistantError as error:
            # If the connection was lost, the device may have switched off: later reads show it.
            may_be_done = is_change and isinstance(error.__cause__, Lost)
            self._readings.async_note_switched_off(clock.now() if may_be_done else before)
            raise
        finally:
            self._is_switching = False

    @override
    def _shown(self) -> object:
        mode = self.coordinator.values.value(self._want)
        self._attr_is_on = None if mode is None else mode == self.entity_description.on
        # The first read on a connection is from before the write.
        if self._attr_is_on and not self._is_switching and self._was_read_after(self._readings.switched_off_at):
            self._readings.async_note_switched_off(None)
        return self._attr_is_on

    def _was_read_after(self, at: float | None) -> bool:
        """Return whether the mode was read after a time."""
        return at is not None and clock.now() - self.coordinator.values.age(self._want) > at
