"""Buttons: what the device does when it is told to, and reading it now."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Final, override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import PagesCoordinator, SmallBmsConfigEntry
from .entity import PageEntity, async_add_to_devices
from .protocol.registers import Name

PARALLEL_UPDATES: Final = 1


@dataclass(frozen=True, kw_only=True)
class SmallBmsButtonDescription(ButtonEntityDescription):
    """One button and what it does."""

    press_fn: Callable[[PagesCoordinator], Coroutine[None, None, None]]


def _action(name: Name, *, enabled: bool) -> SmallBmsButtonDescription:
    return SmallBmsButtonDescription(
        key=name,
        entity_category=EntityCategory.CONFIG,
        entity_registry_enabled_default=enabled,
        press_fn=lambda pages: pages.async_act(name),
    )


BUTTONS: Final = (
    _action(Name.SYNCHRONIZE, enabled=True),
    # Nobody should press these by mistake.
    _action(Name.RESTORE_DEFAULTS, enabled=False),
    _action(Name.CLEAR_HISTORY, enabled=False),
    SmallBmsButtonDescription(
        key="read_now", entity_category=EntityCategory.DIAGNOSTIC, press_fn=PagesCoordinator.async_read_now
    ),
)


async def async_setup_entry(
    hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the buttons of one device."""
    if pages := entry.runtime_data.pages:
        async_add_to_devices(hass, entry, async_add_entities, map(partial(SmallBmsButton, pages), BUTTONS))


class SmallBmsButton(PageEntity, ButtonEntity):
    """One button."""

    entity_description: SmallBmsButtonDescription

    @override
    async def async_press(self) -> None:
        await self.entity_description.press_fn(self.coordinator)
