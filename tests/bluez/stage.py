"""One emulated device and the adapters near it, run by a thread of its own: the world goes on, whatever a test does."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from threading import Thread
from typing import Final

from emulator.bms.bms import SmallBms
from emulator.device import DEFAULT_PIN, EmulatedDevice
from emulator.personality.quirks import Quirks
from emulator.ve_smart.bms_registers import BmsRegisters
from emulator.ve_smart.link import VeSmartService
from tests.emulator.banks import FOUR_AS_24V, make_bms

from .air import ADAPTER_ADDRESSES, Adapter, Air, DeviceRadio, open_adapter

MTU: Final = 247
# dBm; the first adapter is the nearer one.
SIGNALS: Final = (-50, -70)
PATIENCE: Final = 60.0


class Stage:
    """What is on the air. Whatever changes it goes through do or run, which wait until it is done."""

    bms: SmallBms
    device: EmulatedDevice
    service: VeSmartService
    radio: DeviceRadio
    adapters: tuple[Adapter, ...]

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="the air", daemon=True)

    @contextmanager
    def played(self) -> Generator[Stage]:
        """Put everything on the air, until the end."""
        self._thread.start()
        self.run(self._set())
        try:
            yield self
        finally:
            self.run(self.radio.stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def do[T](self, work: Callable[[], T]) -> T:
        """Do something there, and return what it gives."""

        async def done() -> T:
            return work()

        return self.run(done())

    def run[T](self, work: Coroutine[object, object, T]) -> T:
        """Run something there to its end, and return what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def reset(self) -> None:
        """Have the device know nobody, and nothing be wrong with it."""
        self.run(self._reset())

    async def _set(self) -> None:
        air = Air()
        self.bms = make_bms(FOUR_AS_24V)
        self.device = EmulatedDevice(self.bms.snapshot)
        self.service = VeSmartService(BmsRegisters(self.bms, self.device))
        self.device.make_ve_smart_server = self.service.serve
        self.radio = DeviceRadio(self.device, air)
        await self.radio.start()
        self.adapters = tuple(
            [await open_adapter(air, address, rssi) for address, rssi in zip(ADAPTER_ADDRESSES, SIGNALS, strict=True)]
        )

    async def _reset(self) -> None:
        self.device.faults.clear()
        self.device.peripheral.pin = DEFAULT_PIN
        self.device.peripheral.drop_link()
        self.service.quirks = Quirks()
        self.radio.refusing = self.radio.just_works = self.radio.drops_at_passkey = False
        self.radio.secure_connections = True
        self.radio.passkey_delay = 0
        self.radio.passkeys_asked = self.radio.connections = 0
        self.radio.set_mtu(MTU)
        for adapter, rssi in zip(self.adapters, SIGNALS, strict=True):
            adapter.deaf = False
            adapter.rssi = rssi
        await self.radio.forget_bonds()
