"""The sensor of how it stands with the connection to a device."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, override

from homeassistant.components.sensor import SensorDeviceClass, SensorEntity, SensorEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.helpers.restore_state import RestoreEntity
from homeassistant.util.dt import parse_datetime

from .client import NoAnswer, NotPaired
from .entity import PageEntity
from .pages import PagesCoordinator

ATTR_LAST_CONNECTED: Final = "last_connected"


class Connection(StrEnum):
    """How it stands with the connection."""

    CONNECTED = "connected"
    IDLE = "idle"
    """The last one was good, or there was none yet."""
    BACKING_OFF = "backing_off"
    """The last one failed, and another follows."""
    NOT_PAIRED = "not_paired"
    NO_PATH = "no_path"
    """No radio that can connect hears the device."""


@dataclass(frozen=True, kw_only=True)
class ConnectionSensorDescription(SensorEntityDescription):
    """The sensor, and its attributes given when the last good connection was."""

    attributes_fn: Callable[[datetime | None], Mapping[str, object]]


CONNECTION: Final = ConnectionSensorDescription(
    key="connection",
    device_class=SensorDeviceClass.ENUM,
    entity_category=EntityCategory.DIAGNOSTIC,
    options=list(Connection),
    attributes_fn=lambda last_connected: {ATTR_LAST_CONNECTED: last_connected},
)


def _is_not_paired(pages: PagesCoordinator) -> bool:
    """Return whether the bond is missing. A device that keeps silent may have other reasons."""
    return isinstance(pages.last_error, NotPaired) and not isinstance(pages.last_error, NoAnswer)


def _backs_off(pages: PagesCoordinator) -> bool:
    """Return whether the last connection failed, and Home Assistant will make another one by itself."""
    return pages.lost and pages.update_interval is not None and not pages.config_entry.pref_disable_polling


# The first that holds is shown.
_STATES: Final[tuple[tuple[Connection, Callable[[PagesCoordinator], bool]], ...]] = (
    (Connection.CONNECTED, lambda pages: pages.connected),
    (Connection.NOT_PAIRED, _is_not_paired),
    (Connection.NO_PATH, lambda pages: not pages.has_way),
    (Connection.BACKING_OFF, _backs_off),
)


class SmallBmsConnectionSensor(PageEntity, RestoreEntity, SensorEntity):
    """How it stands with the connection, and when the last good one was, which outlasts a restart."""

    _unrecorded_attributes = frozenset({ATTR_LAST_CONNECTED})
    entity_description: ConnectionSensorDescription
    _restored: datetime | None = None

    @override
    async def async_added_to_hass(self) -> None:
        if last := await self.async_get_last_state():
            self._restored = parse_datetime(str(last.attributes.get(ATTR_LAST_CONNECTED)))
        await super().async_added_to_hass()

    @override
    def _shown(self) -> object:
        pages = self.coordinator
        state = next((state for state, holds in _STATES if holds(pages)), Connection.IDLE)
        self._attr_native_value = state
        attributes = dict(self.entity_description.attributes_fn(pages.last_connected or self._restored))
        self._attr_extra_state_attributes = attributes
        return state, attributes
