"""One emulated device: who it is, what it advertises, and what it offers over GATT."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random
from time import monotonic
from typing import Final, Protocol
from uuid import UUID

from emulator.bms.firmware import FIRMWARE_VERSION
from emulator.gatt import (
    AttCode,
    AttError,
    Characteristic,
    ConnectionRefusedByPeripheralError,
    Link,
    Peripheral,
    Property,
    Service,
)
from emulator.instant_readout import COMPANY_ID, DEFAULT_PRODUCT_ID, KEY_LENGTH, InstantReadout, short_beacon
from emulator.personality.quirks import RadioQuirks
from emulator.radio_faults import RadioFaults
from emulator.snapshot import Snapshot
from emulator.ve_smart.chunks import Channel

DEFAULT_ADDRESS: Final = "C0:3A:5E:00:00:01"
DEFAULT_SERIAL_NUMBER: Final = "HQ2642EMU01"
DEFAULT_NAME: Final = f"smallBMS NG {DEFAULT_SERIAL_NUMBER}"
DEFAULT_KEY: Final = bytes.fromhex("5eed0fba77e4b00e9a3c51d2c4f78e16")
DEFAULT_PIN: Final = "014916"

MANUFACTURER_NAME: Final = "Victron Energy"
MODEL_NUMBER: Final = "smallBMS NG"
FIRMWARE_REVISION: Final = FIRMWARE_VERSION

# Assumed: after how many seconds unchanged content gets a new nonce.
NONCE_PERIOD: Final = 60.0

_FLAGS, _COMPLETE_SERVICE_UUIDS, _COMPLETE_LOCAL_NAME, _MANUFACTURER_DATA = 0x01, 0x07, 0x09, 0xFF
_GENERAL_DISCOVERABLE_LE_ONLY: Final = b"\x06"
LONGEST_ADVERTISEMENT: Final = 31
# With beacons between the records, one in this many advertisements is a beacon.
_BEACON_EVERY: Final = 3
# Assumed: the bytes at the end of a longer record.
_TRAILING: Final = b"\xff"
# What a scan response of 31 bytes holds besides length and type.
LONGEST_NAME: Final = 29
_GARBAGE_LENGTH: Final = 24


_DEVICE_INFORMATION: Final = "0000180a-0000-1000-8000-00805f9b34fb"
_MANUFACTURER_NAME: Final = "00002a29-0000-1000-8000-00805f9b34fb"
_MODEL_NUMBER: Final = "00002a24-0000-1000-8000-00805f9b34fb"
_SERIAL_NUMBER: Final = "00002a25-0000-1000-8000-00805f9b34fb"
_FIRMWARE_REVISION: Final = "00002a26-0000-1000-8000-00805f9b34fb"

VE_SMART_SERVICE: Final = "306b0001-b081-4037-83dc-e59fcc3cdfd0"
VE_SMART_CHANNELS: Final = {
    Channel.CONTROL: "306b0002-b081-4037-83dc-e59fcc3cdfd0",
    Channel.LAST_DATA: "306b0003-b081-4037-83dc-e59fcc3cdfd0",
    Channel.DATA: "306b0004-b081-4037-83dc-e59fcc3cdfd0",
}
_CHANNELS_BY_UUID: Final = {uuid: channel for channel, uuid in VE_SMART_CHANNELS.items()}

# The base service: PIN, PUK and the start of a firmware update among others. Which is which is not sure.
BASE_SERVICE: Final = "97580001-ddf1-48be-b73e-182664615d8e"
BASE_CHARACTERISTICS: Final = tuple(f"9758000{number}-ddf1-48be-b73e-182664615d8e" for number in (2, 3, 4, 6))

_EXCHANGE: Final = Property.WRITE_WITHOUT_RESPONSE | Property.NOTIFY
SERVICES: Final = (
    Service(
        uuid=_DEVICE_INFORMATION,
        characteristics=tuple(
            Characteristic(uuid=uuid, properties=Property.READ)
            for uuid in (_MANUFACTURER_NAME, _MODEL_NUMBER, _SERIAL_NUMBER, _FIRMWARE_REVISION)
        ),
    ),
    Service(
        uuid=BASE_SERVICE,
        characteristics=tuple(
            # Writable with and without response, and without a bond, so that every attempt is counted.
            Characteristic(uuid=uuid, properties=Property.WRITE | Property.WRITE_WITHOUT_RESPONSE)
            for uuid in BASE_CHARACTERISTICS
        ),
    ),
    Service(
        uuid=VE_SMART_SERVICE,
        characteristics=(
            Characteristic(
                uuid=VE_SMART_CHANNELS[Channel.CONTROL], properties=Property.READ | _EXCHANGE, authenticated=True
            ),
            Characteristic(uuid=VE_SMART_CHANNELS[Channel.LAST_DATA], properties=_EXCHANGE, authenticated=True),
            Characteristic(uuid=VE_SMART_CHANNELS[Channel.DATA], properties=_EXCHANGE, authenticated=True),
        ),
    ),
)


class VeSmartServer(Protocol):
    """The device's side of one VE.Smart session."""

    def read_control(self) -> bytes:
        """Return what reading Control gives."""
        ...

    def write(self, channel: Channel, data: bytes) -> None:
        """Take what the central wrote."""
        ...

    def closed(self) -> None:
        """Hear that the link has ended."""
        ...


class VeSmartLink:
    """The part of a link that its VE.Smart server may use."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def mtu(self) -> int:
        """The link's ATT MTU; a notification carries three bytes less."""
        return self._link.mtu

    @property
    def operations(self) -> int:
        """How many operations of the central have succeeded."""
        return self._link.operations

    def notify(self, channel: Channel, data: bytes) -> None:
        """Notify the central, if it subscribed to this channel."""
        self._link.notify(VE_SMART_CHANNELS[channel], data)

    def disconnect(self) -> None:
        """End the link."""
        self._link.drop()


class _NoServer:
    """Takes the place of a VE.Smart server where there is none."""

    def read_control(self) -> bytes:
        return b""

    def write(self, channel: Channel, data: bytes) -> None:
        """Answer nothing."""

    def closed(self) -> None:
        """Do nothing: there is no session to end."""


def _no_server(_link: VeSmartLink) -> VeSmartServer:
    return _NoServer()


class Board(Protocol):
    """The board of the device, as the radio sees it."""

    connected: bool
    bluetooth_enabled: bool
    firmware_version: str

    @property
    def powered(self) -> bool:
        """Whether the board has its supply."""


@dataclass(kw_only=True)
class BareBoard:
    """A board that always has its supply."""

    connected: bool = False
    bluetooth_enabled: bool = True
    firmware_version: str = FIRMWARE_REVISION
    powered: bool = True


class _Handler:
    """Serves one link: fixed values of the device information, everything else from the VE.Smart server."""

    def __init__(self, device: EmulatedDevice, link: Link) -> None:
        self._device = device
        self._link = link
        self._values = device.information
        self._server = device.make_ve_smart_server(VeSmartLink(link))
        device.board.connected = True

    def read(self, uuid: str) -> bytes:
        if uuid in self._values:
            return self._values[uuid]
        return self._server.read_control()

    def write(self, uuid: str, data: bytes) -> None:
        if uuid in BASE_CHARACTERISTICS:
            self._device.forbidden_writes[uuid] += 1
            raise AttError(AttCode.WRITE_NOT_PERMITTED, self._link.peripheral.characteristic(uuid).handle)
        self._server.write(_CHANNELS_BY_UUID[uuid], data)

    def closed(self) -> None:
        self._device.board.connected = False
        self._server.closed()


@dataclass(frozen=True, kw_only=True)
class Advertisement:
    """One advertisement and its scan response, as AD structures."""

    advertising_data: bytes
    scan_response: bytes

    @property
    def joined(self) -> bytes:
        """Both parts joined, as a proxy passes them on."""
        return self.advertising_data + self.scan_response


class EmulatedDevice:
    """A smallBMS NG as seen over Bluetooth. clock gives seconds; only differences count.

    forbidden_writes counts, by characteristic, the attempts on the base service, which nobody has to write.
    """

    def __init__(
        self,
        readout: Callable[[], Snapshot],
        *,
        board: Board | None = None,
        address: str = DEFAULT_ADDRESS,
        name: str = DEFAULT_NAME,
        key: bytes = DEFAULT_KEY,
        pin: str = DEFAULT_PIN,
        product_id: int = DEFAULT_PRODUCT_ID,
        serial_number: str = DEFAULT_SERIAL_NUMBER,
        clock: Callable[[], float] = monotonic,
        nonce: int = 0,
        seed: int = 0,
        advertises_state_of_charge: bool = True,
        quirks: RadioQuirks | None = None,
    ) -> None:
        self.readout = readout
        self.board: Board = board or BareBoard()
        self.address = address
        self.name = name
        self.key = key
        self.product_id = product_id
        self.serial_number = serial_number
        self.instant_readout_on = True
        self.quirks = quirks or RadioQuirks()
        if not advertises_state_of_charge:
            self.advertises_state_of_charge = False
        self.forbidden_writes: Counter[str] = Counter()
        self.faults = RadioFaults()
        self.make_ve_smart_server: Callable[[VeSmartLink], VeSmartServer] = _no_server
        self.peripheral = Peripheral(SERVICES, self._serve, pin=pin, faults=self.faults)
        self._clock = clock
        self._records = InstantReadout(period=NONCE_PERIOD, nonce=nonce)
        self._random = Random(seed)
        self._latest = self._previous = self._late = b""
        self._sent = 0

    @property
    def advertises_state_of_charge(self) -> bool:
        """Whether the state of charge is available in the record."""
        return not self.quirks.without_state_of_charge

    @advertises_state_of_charge.setter
    def advertises_state_of_charge(self, advertised: bool) -> None:
        self.quirks = replace(self.quirks, without_state_of_charge=not advertised)

    @property
    def pin(self) -> str:
        """The six digits that a central must enter to bond."""
        return self.peripheral.pin

    @property
    def connected(self) -> bool:
        """Whether a central holds the link."""
        return self.peripheral.link is not None

    @property
    def advertises(self) -> bool:
        """Whether the device advertises: not while it is connected. With Instant Readout off it sends no record."""
        return self._on_air and not self.connected and not self.faults.silent

    @property
    def information(self) -> dict[str, bytes]:
        """The values of the device information by characteristic."""
        values = {
            _MANUFACTURER_NAME: MANUFACTURER_NAME,
            _MODEL_NUMBER: MODEL_NUMBER,
            _SERIAL_NUMBER: self.serial_number,
            _FIRMWARE_REVISION: self.board.firmware_version,
        }
        return {uuid: value.encode() for uuid, value in values.items()}

    @property
    def _on_air(self) -> bool:
        return self.board.powered and self.board.bluetooth_enabled

    def follow_supply(self) -> None:
        """Drop the link if the supply is gone or Bluetooth is switched off."""
        if not self._on_air:
            self.peripheral.drop_link()

    def renew_nonce(self) -> None:
        """Give the next record a new nonce even if nothing has changed."""
        self._records.renew()

    def manufacturer_data(self) -> bytes:
        """Return the next encrypted record, without the company id."""
        key = bytes(KEY_LENGTH) if self.faults.changed_key else self.key
        record = self._records.next(
            self._advertised(),
            key=key,
            product_id=self.product_id,
            now=self._clock(),
            trailing=_TRAILING * self.quirks.trailing_bytes,
        )
        if record != self._latest:
            self._previous, self._latest = self._latest, record
        return record

    def _advertised(self) -> Snapshot:
        snapshot = self.readout()
        if self.quirks.voltage_only:
            return Snapshot(voltage=snapshot.voltage)
        if not self.advertises_state_of_charge:
            snapshot = replace(snapshot, state_of_charge=None)
        return replace(snapshot, error=snapshot.error or self.quirks.error)

    def advertisement(self, manufacturer_data: bytes | None = None) -> Advertisement:
        """Return the next advertisement, or one with this manufacturer data instead of the next record."""
        return advertisement_of(self._content(manufacturer_data), self.name)

    def _content(self, data: bytes | None) -> bytes:
        if data is not None:
            return manufacturer_structure(data)
        if self.instant_readout_on:
            return manufacturer_structure(self._faulty_data())
        if self.quirks.beacon_without_readout:
            return services_structure((VE_SMART_SERVICE,)) + manufacturer_structure(self._beacon)
        # Assumed: it still sends its name, or nobody could connect to switch Instant Readout on again.
        return b""

    @property
    def _beacon(self) -> bytes:
        return short_beacon(self.product_id)

    def _beacon_is_due(self) -> bool:
        self._sent += 1
        return self.quirks.beacons_between and self._sent % _BEACON_EVERY == 0

    def _faulty_data(self) -> bytes:
        """Return the next manufacturer data, with the active faults applied to it."""
        if self.faults.garbage:
            return self._random.randbytes(self._random.randint(0, _GARBAGE_LENGTH))
        if self.faults.repeated and self._latest:
            return self._latest
        if self._beacon_is_due():
            return self._beacon
        record = self.manufacturer_data()
        late, self._late = self._late, b""
        if late and self.faults.reordered:
            return late
        if self.faults.reordered:
            self._late = self._previous
        return record

    def _serve(self, link: Link) -> _Handler:
        if not self._on_air:
            raise ConnectionRefusedByPeripheralError
        return _Handler(self, link)


def advertisement_of(content: bytes, name: str) -> Advertisement:
    """Return an advertisement with these AD structures, and a name unless that is empty."""
    flags = _ad_structure(_FLAGS, _GENERAL_DISCOVERABLE_LE_ONLY)
    # Assumed: where there is no room for the flags, they are left out.
    data = flags + content if len(flags + content) <= LONGEST_ADVERTISEMENT else content
    response = _ad_structure(_COMPLETE_LOCAL_NAME, _fitting(name)) if name else b""
    return Advertisement(advertising_data=data, scan_response=response)


def manufacturer_structure(data: bytes) -> bytes:
    """Return Victron's manufacturer data as an AD structure."""
    return _ad_structure(_MANUFACTURER_DATA, COMPANY_ID.to_bytes(2, "little") + data)


def services_structure(services: Iterable[str]) -> bytes:
    """Return the UUIDs of services as an AD structure; nothing where there are none."""
    uuids = b"".join(UUID(service).bytes[::-1] for service in services)
    return _ad_structure(_COMPLETE_SERVICE_UUIDS, uuids) if uuids else b""


def _ad_structure(kind: int, data: bytes) -> bytes:
    return bytes((len(data) + 1, kind)) + data


def _fitting(name: str) -> bytes:
    """Return the name, cut between two characters to what fits the scan response."""
    return name.encode()[:LONGEST_NAME].decode(errors="ignore").encode()
