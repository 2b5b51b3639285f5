"""Buttons: actions of the device, and reading it now."""

from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import PagesCoordinator, SmallBmsConfigEntry
from .entity import Offers, PageEntity, async_add_offered
from .protocol.registers import Name

PARALLEL_UPDATES: Final = 1

ATTR_PROGRESS: Final = "progress"
ATTR_ANSWERED: Final = "answered_registers"


@dataclass(frozen=True, kw_only=True)
class SmallBmsButtonDescription(ButtonEntityDescription):
    """One button and what it does.

    action: its register, if it is an action of the device.
    """

    action: Name | None = None
    press_fn: Callable[[PagesCoordinator], Coroutine[None, None, None]]
    attributes_fn: Callable[[PagesCoordinator], Mapping[str, object]] | None = None


def _action(name: Name, *, enabled: bool) -> SmallBmsButtonDescription:
    return SmallBmsButtonDescription(
        key=name,
        entity_category=EntityCategory.CONFIG,
        entity_registry_enabled_default=enabled,
        action=name,
        press_fn=lambda pages: pages.async_act(name),
    )


def _survey_attributes(pages: PagesCoordinator) -> Mapping[str, object]:
    """Return how far the survey has come, in %, and how many registers were answered."""
    if pages.survey.progress is None:
        return {}
    return {ATTR_PROGRESS: pages.survey.progress, ATTR_ANSWERED: pages.survey.answered}


BUTTONS: Final = (
    _action(Name.SYNCHRONIZE, enabled=True),
    # Disabled, so that nobody presses them by mistake.
    _action(Name.RESTORE_DEFAULTS, enabled=False),
    _action(Name.CLEAR_HISTORY, enabled=False),
    SmallBmsButtonDescription(
        key="read_now", entity_category=EntityCategory.DIAGNOSTIC, press_fn=PagesCoordinator.async_read_now
    ),
    SmallBmsButtonDescription(
        key="survey",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        press_fn=PagesCoordinator.async_survey,
        attributes_fn=_survey_attributes,
    ),
)


async def async_setup_entry(
    _hass: HomeAssistant, entry: SmallBmsConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the buttons of one device."""
    async_add_offered(entry, async_add_entities, _offers, _ruled_out)


def _offers(pages: PagesCoordinator) -> Offers:
    return {row.key: partial(SmallBmsButton, pages, row) for row in BUTTONS if _can_press(pages, row)}


def _ruled_out(pages: PagesCoordinator) -> Iterator[tuple[Platform, str]]:
    """Yield the actions that the device does not have."""
    return ((Platform.BUTTON, row.key) for row in BUTTONS if not _can_press(pages, row))


def _can_press(pages: PagesCoordinator, row: SmallBmsButtonDescription) -> bool:
    return row.action is None or pages.can_write(row.action)


class SmallBmsButton(PageEntity, ButtonEntity):
    """One button."""

    entity_description: SmallBmsButtonDescription
    _unrecorded_attributes = frozenset({ATTR_PROGRESS, ATTR_ANSWERED})

    @override
    def _shown(self) -> object:
        if attributes_of := self.entity_description.attributes_fn:
            self._attr_extra_state_attributes = dict(attributes_of(self.coordinator))
            return self._attr_extra_state_attributes
        return None

    @override
    async def async_press(self) -> None:
        await self.entity_description.press_fn(self.coordinator)
