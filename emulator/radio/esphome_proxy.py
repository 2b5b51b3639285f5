"""An ESPHome Bluetooth proxy on loopback TCP: any Home Assistant adds it as an ESPHome device."""

import asyncio
from collections.abc import Iterable, Mapping
from itertools import batched
from typing import Final

from emulator.device import Advertisement, EmulatedDevice
from emulator.gatt import Peripheral

from .esphome_frames import Frames, NoiseFrames, PlaintextFrames, decode_noise_key
from .esphome_messages import Field, message
from .esphome_session import Session

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_NAME: Final = "emulated-proxy"
DEFAULT_MAC: Final = "02:00:00:E5:90:01"
DEFAULT_RSSI: Final = -61
DEFAULT_SLOTS: Final = 3
DEFAULT_PERIOD: Final = 1.0
# Advertisements that a proxy puts into one message.
BATCH: Final = 16
# On the ESP32 the Bluetooth address is the Wi-Fi address plus two.
_BLUETOOTH_MAC_OFFSET: Final = 2
_RANDOM_ADDRESS: Final = 1


def _number(address: str) -> int:
    return int(address.replace(":", ""), 16)


def _bluetooth_mac(mac: str) -> str:
    return (_number(mac) + _BLUETOOTH_MAC_OFFSET).to_bytes(6).hex(":").upper()


class EsphomeProxy:
    """A Bluetooth proxy near some emulated devices.

    rssi holds the signal strength in dBm by address; devices that it does not name arrive with DEFAULT_RSSI. key is
    32 bytes in base64, as in ESPHome's configuration, and encrypts the clients' connections. pin is what the proxy
    enters when a client asks it to encrypt a link; it encrypts none unasked, whether there is a bond or not. period is
    the time between a device's advertisements in seconds. devices, rssi, pin and slots may be changed while it runs.
    """

    def __init__(
        self,
        *devices: EmulatedDevice,
        name: str = DEFAULT_NAME,
        friendly_name: str = "Emulated Bluetooth proxy",
        mac: str = DEFAULT_MAC,
        key: str | None = None,
        pin: str | None = None,
        rssi: Mapping[str, int] | None = None,
        slots: int = DEFAULT_SLOTS,
        period: float = DEFAULT_PERIOD,
    ) -> None:
        self.name = name
        self.friendly_name = friendly_name
        self.mac = mac
        self.source = _bluetooth_mac(mac)
        self.pin = pin
        self.devices = {device.address: device for device in devices}
        self.rssi = dict(rssi or {})
        self._slots = slots
        self._period = period
        self._key = None if key is None else decode_noise_key(key)
        self._server: asyncio.Server | None = None
        self._advertising: asyncio.Task[None] | None = None
        self._sessions: dict[Session, asyncio.Task[None]] = {}

    async def start(self, host: str = DEFAULT_HOST, port: int = 0) -> int:
        """Listen, and return the port; OSError if it is not free."""
        self._server = await asyncio.start_server(self._accept, host, port)
        self._advertising = asyncio.create_task(self._advertise_periodically())
        bound_port: int = self._server.sockets[0].getsockname()[1]
        return bound_port

    async def stop(self) -> None:
        """Let all clients go, and stop listening. It may be started again."""
        if self._server is None or self._advertising is None:
            return
        self._server.close()
        self._advertising.cancel()
        tasks = list(self._sessions.values())
        for session in list(self._sessions):
            session.close()
        # Clients that do not read would keep their connections open for what still waits for them.
        self._server.abort_clients()
        await asyncio.gather(self._advertising, *tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = self._advertising = None

    @property
    def encrypted(self) -> bool:
        """Whether clients need a key."""
        return self._key is not None

    @property
    def clients(self) -> int:
        """How many clients there are."""
        return len(self._sessions)

    @property
    def slots(self) -> int:
        """How many connections to devices the proxy can carry."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        self._slots = slots
        self.slots_changed()

    @property
    def free_slots(self) -> int:
        """How many more connections it can carry now."""
        return max(0, self._slots - len(self.connected_addresses))

    @property
    def connected_addresses(self) -> list[int]:
        """The addresses of its connections, as numbers."""
        return [address for session in self._sessions for address in session.connections]

    def peripheral(self, address: int) -> Peripheral | None:
        """Return what is in reach under this address."""
        for device in self.devices.values():
            if _number(device.address) == address:
                return device.peripheral
        return None

    def slots_changed(self) -> None:
        """Tell all who subscribed how many connections are free."""
        for session in self._sessions:
            session.slots_changed()

    def advertise(self, address: str | None = None) -> None:
        """Pass on one advertisement of each device that sends, or of the one with this address."""
        senders = (d for d in self.devices.values() if d.advertises and address in (None, d.address))
        self._pass_on((device, device.advertisement()) for device in senders)

    def advertise_bytes(self, device: EmulatedDevice, manufacturer_data: bytes) -> None:
        """Pass on an advertisement as if from this device, with any bytes in place of its record."""
        self._pass_on([(device, device.advertisement(manufacturer_data))])

    def _pass_on(self, heard: Iterable[tuple[EmulatedDevice, Advertisement]]) -> None:
        for batch in batched(heard, BATCH, strict=False):
            advertisements = [self._fields(device, advertisement) for device, advertisement in batch]
            outgoing = message("BluetoothLERawAdvertisementsResponse", advertisements=advertisements)
            for session in self._sessions:
                session.advertise(outgoing)

    def _fields(self, device: EmulatedDevice, advertisement: Advertisement) -> dict[str, Field]:
        return {
            "address": _number(device.address),
            "rssi": device.faults.rssi(self.rssi.get(device.address, DEFAULT_RSSI)),
            "address_type": _RANDOM_ADDRESS,
            "data": advertisement.joined,
        }

    async def _advertise_periodically(self) -> None:
        while True:
            self.advertise()
            await asyncio.sleep(self._period)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self, self._frames(reader, writer), writer)
        task = asyncio.create_task(session.run())
        self._sessions[session] = task
        task.add_done_callback(lambda _: self._sessions.pop(session))

    def _frames(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Frames:
        if self._key is None:
            return PlaintextFrames(reader, writer)
        return NoiseFrames(reader, writer, key=self._key, name=self.name, mac=self.mac)
