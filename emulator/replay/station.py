"""A replayed device behind a Bluetooth proxy."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from emulator.device import DEFAULT_ADDRESS, DEFAULT_KEY, DEFAULT_PIN
from emulator.recording import read_recording
from emulator.replay.device import REPLAYED_NAME, ReplayedDevice
from emulator.rig import HOST, Proxy, ProxyPlan, cannot_use_port

# How often the proxy looks whether the next advertisement is due, in s.
PERIOD: Final = 0.1
_SLOTS: Final = 3
_PROXY_NAME: Final = "emulated-proxy"
_PROXY_FRIENDLY_NAME: Final = "Emulated proxy"
_PROXY_MAC: Final = "02:00:00:E5:90:01"


class ReplayStation:
    """The device of the recording in a file, behind a proxy that knows its PIN if with_pin allows it.

    Raises RecordingError where the file has no recording.
    """

    def __init__(
        self,
        file: Path,
        *,
        make_proxy: Callable[[ProxyPlan], Proxy],
        with_pin: bool = True,
        address: str | None = None,
        name: str | None = None,
        key: bytes | None = None,
        pin: str | None = None,
    ) -> None:
        self.file = file
        self.device = ReplayedDevice(
            read_recording(file),
            address=address or DEFAULT_ADDRESS,
            name=name or REPLAYED_NAME,
            key=key or DEFAULT_KEY,
            pin=pin or DEFAULT_PIN,
        )
        self.port = 0
        self.proxy = make_proxy(self._plan(with_pin=with_pin))

    async def start(self, port: int) -> None:
        """Listen. Raises CannotStartError if the port is not free."""
        try:
            self.port = await self.proxy.start(HOST, port)
        except (OSError, OverflowError) as error:
            raise cannot_use_port(port, error) from error

    async def stop(self) -> None:
        """End everything."""
        await self.proxy.stop()

    def _plan(self, *, with_pin: bool) -> ProxyPlan:
        signal = self.device.signal
        return ProxyPlan(
            name=_PROXY_NAME,
            friendly_name=_PROXY_FRIENDLY_NAME,
            mac=_PROXY_MAC,
            devices=(self.device,),
            rssi={} if signal is None else {self.device.address: signal},
            slots=_SLOTS,
            pin=self.device.pin if with_pin else None,
            period=PERIOD,
        )
