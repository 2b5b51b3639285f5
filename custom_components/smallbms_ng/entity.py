"""What all entities have in common."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, override

from homeassistant.components.bluetooth.passive_update_coordinator import PassiveBluetoothCoordinatorEntity
from homeassistant.const import CONF_ADDRESS, Platform, UnitOfElectricPotential, UnitOfRatio, UnitOfTime
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import format_mac
from homeassistant.helpers.entity import Entity, EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .const import DOMAIN
from .coordinator import InstantReadoutCoordinator, PagesCoordinator, SmallBmsConfigEntry
from .devices import DeviceLookup
from .outlook import OutlookCoordinator
from .pages import RegisterKey
from .protocol.registers import Name


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A setting of the BMS: a number, or a sensor where the device does not let anybody change it.

    device_class: one that numbers and sensors share.
    """

    name: Name
    unit: str
    device_class: str | None = None


SETTINGS: Final = (
    Setting(name=Name.CHARGED_VOLTAGE, unit=UnitOfElectricPotential.VOLT, device_class="voltage"),
    Setting(name=Name.TAIL_CURRENT, unit=UnitOfRatio.PERCENTAGE),
    Setting(name=Name.CHARGED_DETECTION_TIME, unit=UnitOfTime.MINUTES, device_class="duration"),
    Setting(name=Name.LOW_SOC_WARNING, unit=UnitOfRatio.PERCENTAGE, device_class="battery"),
    Setting(name=Name.DISCHARGE_FLOOR, unit=UnitOfRatio.PERCENTAGE, device_class="battery"),
    Setting(name=Name.PRE_ALARM_CELL_VOLTAGE, unit=UnitOfElectricPotential.VOLT, device_class="voltage"),
)


class SmallBmsEntity(Entity):
    """An entity that writes its state only when that changes."""

    battery: int | None = None
    """The battery whose device it belongs to; None for the device of the entry."""

    _attr_has_entity_name = True
    _written: object = None

    def _describe(self, description: EntityDescription, address: str, key: str) -> None:
        """Set its description and unique id."""
        self.entity_description = description
        self._attr_translation_key = description.key
        self._attr_unique_id = f"{format_mac(address)}_{key}"

    @abstractmethod
    def _shown(self) -> object:
        """Set the attributes of the entity from the present values; return everything that its state shows."""

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self._async_take()

    @callback
    def _handle_coordinator_update(self) -> None:
        if self._async_take():
            self.async_write_ha_state()

    @callback
    def _async_take(self) -> bool:
        """Set the attributes of the entity from the coordinator; return whether its state has changed."""
        shown = (self.available, self._shown())
        changed, self._written = shown != self._written, shown
        return changed


class ReadingEntity(SmallBmsEntity, PassiveBluetoothCoordinatorEntity[InstantReadoutCoordinator]):
    """An entity that shows something of what is published.

    quantities: the names of the values that it follows; None for all.
    """

    def __init__(
        self,
        coordinator: InstantReadoutCoordinator,
        description: EntityDescription,
        quantities: AbstractSet[str] | None = None,
    ) -> None:
        super().__init__(coordinator, quantities)
        self._describe(description, coordinator.address, description.key)


class PageEntity(SmallBmsEntity, CoordinatorEntity[PagesCoordinator]):
    """An entity that shows the value of a register, or does something, over a connection.

    want: the register, which is read only while the entity is enabled; None if it shows none.
    part: the key in its unique id, where several entities share one description, such as the cells of a battery.
    """

    def __init__(
        self,
        coordinator: PagesCoordinator,
        description: EntityDescription,
        want: RegisterKey | None = None,
        *,
        part: str | None = None,
    ) -> None:
        super().__init__(coordinator, context=want)
        self.register_key = want
        self.battery = want.battery if want else None
        key = part or description.key
        self._describe(
            description, coordinator.address, key if self.battery is None else f"battery_{self.battery}_{key}"
        )

    @property
    @override
    def available(self) -> bool:
        """Whether its value is known and recent enough; always for what shows no value, such as a button."""
        return self.register_key is None or self.coordinator.shown(self.register_key)

    @override
    def _shown(self) -> object:
        return None


class OutlookEntity(SmallBmsEntity, CoordinatorEntity[OutlookCoordinator]):
    """An entity that shows something of what is to be expected."""

    def __init__(self, coordinator: OutlookCoordinator, description: EntityDescription) -> None:
        super().__init__(coordinator)
        self._describe(description, coordinator.config_entry.data[CONF_ADDRESS], description.key)


@callback
def async_add_to_devices(
    hass: HomeAssistant,
    entry: SmallBmsConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    entities: Iterable[SmallBmsEntity],
) -> None:
    """Add entities to their devices. Each device is looked up once, instead of once for each entity."""
    devices = DeviceLookup(hass, entry)
    added = list(entities)
    for entity in added:
        entity.device_entry = devices.async_device(entity.battery)
    async_add_entities(added)


@callback
def _async_remove(pages: PagesCoordinator, platform: Platform, key: str) -> None:
    """Remove an entity of the device, if there is one."""
    registry = er.async_get(pages.hass)
    if entity_id := registry.async_get_entity_id(platform, DOMAIN, f"{format_mac(pages.address)}_{key}"):
        registry.async_remove(entity_id)


type Offers = Mapping[str, Callable[[], PageEntity]]


@callback
def async_add_offered(
    entry: SmallBmsConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    offers: Callable[[PagesCoordinator], Offers],
    ruled_out: Callable[[PagesCoordinator], Iterable[tuple[Platform, str]]] = lambda _pages: (),
) -> None:
    """Add the entities that the device offers, and later those that it did not offer before. Offers have any name.

    ruled_out: returns platform and key of the entities that this device cannot have; they are removed.
    """
    if (pages := entry.runtime_data.pages) is None:
        return
    added: set[str] = set()

    @callback
    def add() -> None:
        offered = offers(pages)
        for platform, key in ruled_out(pages):
            _async_remove(pages, platform, key)
        new = offered.keys() - added
        if new:
            entities = (make() for name, make in offered.items() if name in new)
            async_add_to_devices(pages.hass, entry, async_add_entities, entities)
        # What is offered no more was removed with its battery, and may come back.
        added.intersection_update(offered)
        added.update(new)

    add()
    entry.async_on_unload(pages.async_add_listener(add))
