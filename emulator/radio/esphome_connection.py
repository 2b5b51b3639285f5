"""One connection to a device through the proxy: its GATT operations, one after another."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import IntEnum
from typing import Final

from emulator.gatt import (
    CCCD_UUID,
    AttError,
    Characteristic,
    ConnectionRefusedByPeripheralError,
    Link,
    LinkLostError,
    Peripheral,
    Service,
)

from .esphome_messages import Field, Message, Request, message

type Operation = Callable[[Link, Request], Awaitable[list[Message]]]
type Job = Callable[[Link], Awaitable[list[Message]]]

# Operations that may wait; a client that sends more does not wait for its answers.
LARGEST_BACKLOG: Final = 256
ESP_GATT_BUSY: Final = 0x84
NOT_CONNECTED: Final = -1

_SHORT_UUID_BASE: Final = 0x0000_0000_0000_1000_8000_0080_5F9B_34FB
_SHORT_UUID_BITS: Final = 96
_HALF_UUID: Final = (1 << 64) - 1


class Reason(IntEnum):
    """Why there is no connection, as the ESP32's Bluetooth stack numbers it."""

    NONE = 0
    PEER_ENDED = 0x13
    HOST_ENDED = 0x16
    FAILED_TO_ESTABLISH = 0x3E


def _uuid_fields(uuid: str) -> dict[str, Field]:
    """Return a UUID's fields: short where it is one of the Bluetooth base UUID, else two halves."""
    value = int(uuid.replace("-", ""), 16)
    short, rest = divmod(value, 1 << _SHORT_UUID_BITS)
    if rest == _SHORT_UUID_BASE:
        return {"short_uuid": short}
    return {"uuid": [value >> 64, value & _HALF_UUID]}


def _characteristic_fields(characteristic: Characteristic) -> dict[str, Field]:
    cccd: dict[str, Field] = {"handle": characteristic.cccd, **_uuid_fields(CCCD_UUID)}
    return {
        "handle": characteristic.handle,
        "properties": int(characteristic.properties),
        "descriptors": [cccd] if characteristic.cccd else [],
        **_uuid_fields(characteristic.uuid),
    }


def _service_fields(service: Service) -> dict[str, Field]:
    characteristics = [_characteristic_fields(one) for one in service.characteristics]
    return {"handle": service.handle, "characteristics": characteristics, **_uuid_fields(service.uuid)}


def gatt_error(address: int, handle: int, error: int) -> Message:
    """Return the answer to an operation that failed."""
    return message("BluetoothGATTErrorResponse", address=address, handle=handle, error=error)


async def _services(link: Link, request: Request) -> list[Message]:
    services = await link.discover()
    address = request.address
    found = [
        message("BluetoothGATTGetServicesResponse", address=address, services=[_service_fields(one)])
        for one in services
    ]
    return [*found, message("BluetoothGATTGetServicesDoneResponse", address=address)]


async def _read(link: Link, request: Request) -> list[Message]:
    data = await link.read(request.handle)
    return [message("BluetoothGATTReadResponse", address=request.address, handle=request.handle, data=data)]


async def _write(link: Link, request: Request) -> list[Message]:
    await link.write(request.handle, request.data, response=request.response)
    return [_written(request)] if request.response else []


async def _write_descriptor(link: Link, request: Request) -> list[Message]:
    await link.write_descriptor(request.handle, request.data)
    return [_written(request)]


def _written(request: Request) -> Message:
    return message("BluetoothGATTWriteResponse", address=request.address, handle=request.handle)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "BluetoothGATTGetServicesRequest": _services,
    "BluetoothGATTReadRequest": _read,
    "BluetoothGATTReadDescriptorRequest": _read,
    "BluetoothGATTWriteRequest": _write,
    "BluetoothGATTWriteDescriptorRequest": _write_descriptor,
}


class Connection:
    """A slot of the proxy, from the request to connect until either side ends it.

    send passes messages to the client, ended tells the proxy once that the slot is free again.
    """

    def __init__(
        self,
        address: int,
        *,
        central: str,
        send: Callable[[Message], None],
        ended: Callable[[Connection], None],
    ) -> None:
        self.address = address
        # The client registers with the proxy which values it wants, besides configuring the device.
        self.listens_to: set[int] = set()
        self._central = central
        self._send = send
        self._ended = ended
        self._link: Link | None = None
        self._over = False
        self._jobs: asyncio.Queue[tuple[int, Job]] = asyncio.Queue(LARGEST_BACKLOG)
        self._worker: asyncio.Task[None] | None = None

    def start(self, peripheral: Peripheral | None) -> None:
        """Begin to connect, to nothing in reach if peripheral is None."""
        self._worker = asyncio.create_task(self._work(peripheral))

    def enqueue(self, operation: Operation, request: Request) -> None:
        """Run an operation after those before it."""
        try:
            self._jobs.put_nowait((request.handle, lambda link: operation(link, request)))
        except asyncio.QueueFull:
            self._send(gatt_error(self.address, request.handle, ESP_GATT_BUSY))

    def enqueue_job(self, job: Job) -> None:
        """Run something that concerns no handle after the operations before it."""
        with suppress(asyncio.QueueFull):
            self._jobs.put_nowait((0, job))

    def report_connected(self) -> None:
        """Tell the client once more that it is connected, if it is."""
        if self._link is not None:
            self._report(connected=True, mtu=self._link.mtu)

    def close(self, reason: Reason = Reason.HOST_ENDED) -> None:
        """End it, as the client or the proxy wants."""
        if self._link is not None:
            self._link.close()
        self._end(reason)

    async def _work(self, peripheral: Peripheral | None) -> None:
        link = self._connect(peripheral)
        if link is None:
            self._end(Reason.FAILED_TO_ESTABLISH)
            return
        try:
            self._report(connected=True, mtu=link.mtu)
            await self._serve(link)
        except LinkLostError:
            pass  # reported where it happened, in _lost
        finally:
            self.close(Reason.PEER_ENDED)

    def _connect(self, peripheral: Peripheral | None) -> Link | None:
        if peripheral is None:
            return None
        try:
            # Whether there is a bond or not: nobody has asked for encryption yet.
            self._link = peripheral.connect(self._central, on_notify=self._notified, on_lost=self._lost, has_key=False)
        except ConnectionRefusedByPeripheralError:
            return None
        return self._link

    async def _serve(self, link: Link) -> None:
        while True:
            handle, job = await self._jobs.get()
            try:
                answers = await job(link)
            except AttError as error:
                answers = [gatt_error(self.address, handle, error.code)]
            for answer in answers:
                self._send(answer)

    def _notified(self, handle: int, data: bytes) -> None:
        if handle in self.listens_to:
            self._send(message("BluetoothGATTNotifyDataResponse", address=self.address, handle=handle, data=data))

    def _lost(self) -> None:
        self._end(Reason.PEER_ENDED)

    def _end(self, reason: Reason) -> None:
        if self._over:
            return
        self._over = True
        self._link = None
        if self._worker is not None and self._worker is not asyncio.current_task():
            self._worker.cancel()
        self._report(connected=False, error=reason)
        self._ended(self)

    def _report(self, *, connected: bool, mtu: int = 0, error: Reason = Reason.NONE) -> None:
        self._send(
            message(
                "BluetoothDeviceConnectionResponse", address=self.address, connected=connected, mtu=mtu, error=error
            )
        )
