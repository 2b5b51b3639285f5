"""A GATT peripheral that knows no transport: services, links, bonds and ATT errors."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, Protocol

from emulator.radio_faults import RadioFaults

CCCD_UUID: Final = "00002902-0000-1000-8000-00805f9b34fb"
CCCD_LENGTH: Final = 2
DEFAULT_MTU: Final = 247
ATT_NOTIFICATION_HEADER: Final = 3
FIRST_HANDLE: Final = 0x0010


class AttCode(IntEnum):
    """The ATT errors that the peripheral answers."""

    INVALID_HANDLE = 0x01
    READ_NOT_PERMITTED = 0x02
    WRITE_NOT_PERMITTED = 0x03
    INSUFFICIENT_AUTHENTICATION = 0x05
    INVALID_ATTRIBUTE_VALUE_LENGTH = 0x0D


class AttError(Exception):
    """An operation was answered with an ATT error."""

    def __init__(self, code: AttCode, handle: int) -> None:
        super().__init__(f"ATT error 0x{code:02x} on handle 0x{handle:04x}")
        self.code = code
        self.handle = handle


class LinkLostError(Exception):
    """The link is gone; nothing was answered."""


class ConnectionRefusedByPeripheralError(Exception):
    """The peripheral takes no connection now: another central holds its only link, or it does not answer."""


class Property(IntFlag):
    """Characteristic properties, with the bits that they have on the air."""

    READ = 0x02
    WRITE_WITHOUT_RESPONSE = 0x04
    WRITE = 0x08
    NOTIFY = 0x10


@dataclass(frozen=True, kw_only=True)
class Characteristic:
    """One characteristic; handle is that of its value, and cccd 0 if it never notifies."""

    uuid: str
    properties: Property
    authenticated: bool = False
    handle: int = 0
    cccd: int = 0


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service and its characteristics."""

    uuid: str
    characteristics: tuple[Characteristic, ...]
    handle: int = 0


class LinkHandler(Protocol):
    """What stands behind the characteristics during one link."""

    def read(self, uuid: str) -> bytes:
        """Return a characteristic's value."""
        ...

    def write(self, uuid: str, data: bytes) -> None:
        """Take a value."""
        ...

    def closed(self) -> None:
        """Hear that the link has ended."""
        ...


def _ignore_notification(_handle: int, _data: bytes) -> None:
    """Serve a central that listens to nothing."""


def _ignore_loss() -> None:
    """Serve a central that does not mind."""


class Link:
    """One connection, from one central, which may have the key of the bond or not (has_key).

    operations counts what it did with success.
    """

    def __init__(
        self,
        peripheral: Peripheral,
        central: str,
        *,
        on_notify: Callable[[int, bytes], None] = _ignore_notification,
        on_lost: Callable[[], None] = _ignore_loss,
        has_key: bool = True,
    ) -> None:
        self.has_key = has_key
        self.peripheral = peripheral
        self.central = central
        self.mtu = peripheral.mtu
        self.open = True
        self.operations = 0
        self._on_notify = on_notify
        self._on_lost = on_lost
        self._subscribed: set[int] = set()
        self._handler = peripheral.make_handler(self)

    @property
    def bonded(self) -> bool:
        """Whether peripheral and central share a bond."""
        return self.has_key and self.central in self.peripheral.bonds

    async def discover(self) -> tuple[Service, ...]:
        """Find the services."""
        await self._begin()
        return self.peripheral.services

    async def read(self, handle: int) -> bytes:
        """Read a characteristic, or the configuration of its notifications."""
        await self._begin()
        if handle in self.peripheral.cccds:
            return (handle in self._subscribed).to_bytes(CCCD_LENGTH, "little")
        characteristic = self._find(handle)
        self._check_authentication(characteristic)
        if Property.READ not in characteristic.properties:
            raise AttError(AttCode.READ_NOT_PERMITTED, handle)
        return self._handler.read(characteristic.uuid)

    async def write(self, handle: int, data: bytes, *, response: bool = True) -> None:
        """Write a characteristic. Without response, what is not permitted vanishes without an error."""
        await self._begin()
        try:
            self._handler.write(self._writable(handle, response=response).uuid, data)
        except AttError:
            if response:
                raise

    async def write_descriptor(self, handle: int, data: bytes) -> None:
        """Switch notifications of the characteristic that has this descriptor."""
        await self._begin()
        if (characteristic := self.peripheral.cccds.get(handle)) is None:
            raise AttError(AttCode.INVALID_HANDLE, handle)
        self._check_authentication(characteristic)
        if len(data) != CCCD_LENGTH:
            raise AttError(AttCode.INVALID_ATTRIBUTE_VALUE_LENGTH, handle)
        if data[0] & 1:
            self._subscribed.add(handle)
        else:
            self._subscribed.discard(handle)

    async def subscribe(self, handle: int, *, on: bool) -> None:
        """Switch notifications of the characteristic with this value handle."""
        cccd = self._find(handle).cccd
        await self.write_descriptor(cccd, on.to_bytes(CCCD_LENGTH, "little"))

    async def pair(self, passkey: str | None) -> None:
        """Make a bond with the passkey that the central's user enters; None = the central cannot enter one."""
        await self._begin()
        if self.peripheral.faults.wrong_pin or passkey != self.peripheral.pin:
            raise AttError(AttCode.INSUFFICIENT_AUTHENTICATION, 0)
        self.has_key = True
        self.peripheral.bonds.add(self.central)

    async def encrypt(self, passkey: str | None) -> None:
        """Encrypt the link by the bond that both sides have, or by a new one, made with the passkey."""
        if self.central in self.peripheral.bonds:
            await self._begin()
            self.has_key = True
        else:
            await self.pair(passkey)

    async def pair_if_accepted(self, passkey: str) -> None:
        """Try to make a bond, and go on without one if the passkey is refused."""
        with suppress(AttError):
            await self.pair(passkey)

    async def unpair(self) -> None:
        """Forget the bond."""
        await self._begin()
        self.peripheral.bonds.discard(self.central)

    def notify(self, uuid: str, data: bytes) -> None:
        """Send a value to the central, if it subscribed to it."""
        if len(data) > self.mtu - ATT_NOTIFICATION_HEADER:
            raise ValueError(f"{len(data)} bytes do not fit a notification at MTU {self.mtu}")
        characteristic = self.peripheral.characteristic(uuid)
        if self.open and characteristic.cccd in self._subscribed:
            self._on_notify(characteristic.handle, data)

    def close(self) -> None:
        """End the link, as the central does."""
        if self.open:
            self.open = False
            self.peripheral.link = None
            self._handler.closed()

    def drop(self) -> None:
        """Lose the link: the peripheral ends it, or the radio does."""
        if self.open:
            self.close()
            self._on_lost()

    async def _begin(self) -> None:
        """Wait as long as the answer takes, and see whether the link still stands then."""
        faults = self.peripheral.faults
        await asyncio.sleep(faults.answer_delay)
        if faults.lose_link_after is not None and self.operations >= faults.lose_link_after:
            self.drop()
        if not self.open:
            raise LinkLostError
        self.operations += 1

    def _find(self, handle: int) -> Characteristic:
        if (characteristic := self.peripheral.values.get(handle)) is None:
            raise AttError(AttCode.INVALID_HANDLE, handle)
        return characteristic

    def _writable(self, handle: int, *, response: bool) -> Characteristic:
        characteristic = self._find(handle)
        self._check_authentication(characteristic)
        needed = Property.WRITE if response else Property.WRITE_WITHOUT_RESPONSE
        if needed not in characteristic.properties or self.peripheral.faults.refuse_writes:
            raise AttError(AttCode.WRITE_NOT_PERMITTED, handle)
        return characteristic

    def _check_authentication(self, characteristic: Characteristic) -> None:
        if characteristic.authenticated and not self.bonded:
            raise AttError(AttCode.INSUFFICIENT_AUTHENTICATION, characteristic.handle)


class Peripheral:
    """The services of one device, its bonds, and the one link that it takes at a time."""

    def __init__(
        self,
        services: Iterable[Service],
        make_handler: Callable[[Link], LinkHandler],
        *,
        pin: str,
        faults: RadioFaults,
        mtu: int = DEFAULT_MTU,
    ) -> None:
        self.make_handler = make_handler
        self.pin = pin
        self.faults = faults
        self.mtu = mtu
        self.bonds: set[str] = set()
        self.link: Link | None = None
        self._place(services, FIRST_HANDLE)

    def move_services(self, first_handle: int) -> None:
        """Have the services begin at this handle, as another firmware may. Whoever knows the old ones is not told."""
        self._place(self.services, first_handle)

    def _place(self, services: Iterable[Service], first_handle: int) -> None:
        self.services = tuple(_with_handles(services, first_handle))
        self._by_uuid = {c.uuid: c for s in self.services for c in s.characteristics}
        self.values = {c.handle: c for c in self._by_uuid.values()}
        self.cccds = {c.cccd: c for c in self._by_uuid.values() if c.cccd}

    def characteristic(self, uuid: str) -> Characteristic:
        """Return the characteristic of this UUID; KeyError if there is none."""
        return self._by_uuid[uuid]

    def connect(
        self,
        central: str,
        *,
        on_notify: Callable[[int, bytes], None] = _ignore_notification,
        on_lost: Callable[[], None] = _ignore_loss,
        has_key: bool = True,
    ) -> Link:
        """Open the link for this central. Without the key of the bond (has_key) it is treated as one without a bond.

        on_notify gets value handle and data; on_lost hears of an end that the central did not ask for.
        """
        if self.link is not None or self.faults.refuse_connections:
            raise ConnectionRefusedByPeripheralError
        self.link = Link(self, central, on_notify=on_notify, on_lost=on_lost, has_key=has_key)
        return self.link

    def drop_link(self) -> None:
        """Lose the link, if there is one."""
        if self.link is not None:
            self.link.drop()


def _with_handles(services: Iterable[Service], handle: int) -> Iterator[Service]:
    """Hand out the handles from this one on: each declaration, value and descriptor takes one."""
    for service in services:
        start = handle
        numbered = []
        for characteristic in service.characteristics:
            value = handle + 2
            notifies = Property.NOTIFY in characteristic.properties
            numbered.append(
                Characteristic(
                    uuid=characteristic.uuid,
                    properties=characteristic.properties,
                    authenticated=characteristic.authenticated,
                    handle=value,
                    cccd=value + 1 if notifies else 0,
                )
            )
            handle = value + notifies
        yield Service(uuid=service.uuid, characteristics=tuple(numbered), handle=start)
        handle += 1
