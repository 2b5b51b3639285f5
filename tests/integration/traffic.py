"""What passes over the links of an emulated device, counted, and cut off wherever a test wants it."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest

from emulator.device import EmulatedDevice, VeSmartLink, VeSmartServer
from emulator.ve_smart.chunks import Channel


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a link is cut: at the operation after so many good ones, or right after so much has passed."""

    operations: int | None = None
    passed: int | None = None


NOWHERE: Final = Place()


@dataclass
class Traffic:
    """Counts what the latest link of a device carries, and cuts it where it is told.

    What passes is what is written to the device and what it notifies. It still arrives if the link is cut after it, but
    nothing more does.
    """

    device: EmulatedDevice
    passed: int = 0
    links: list[VeSmartLink] = field(default_factory=list)
    _cut_after: int | None = None

    def tap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count until the end of the test."""
        notify, make_server = VeSmartLink.notify, self.device.make_ve_smart_server

        def notified(link: VeSmartLink, channel: Channel, data: bytes) -> None:
            notify(link, channel, data)
            self.count()

        def make_tapped_server(link: VeSmartLink) -> VeSmartServer:
            self.links.append(link)
            return _Tapped(make_server(link), self)

        monkeypatch.setattr(VeSmartLink, "notify", notified)
        self.device.make_ve_smart_server = make_tapped_server

    @property
    def places(self) -> list[Place]:
        """Every place at which what was just counted could have been cut."""
        operations = [Place(operations=count) for count in range(self.links[-1].operations)]
        return [*operations, *(Place(passed=count + 1) for count in range(self.passed))]

    @contextmanager
    def cut_at(self, place: Place) -> Generator[None]:
        """Count anew, and cut the link there. Fails if nothing got so far."""
        self.passed, self._cut_after = 0, place.passed
        self.links.clear()
        self.device.faults.lose_link_after = place.operations
        yield
        self._cut_after = self.device.faults.lose_link_after = None
        # What is read along may take one notification less than in the run in which the places were counted.
        assert self.passed >= (place.passed or 0) - 1, place
        assert place.operations in {None, self.links[-1].operations}, place

    def count(self) -> None:
        """Note that something passes."""
        self.passed += 1
        if self.passed == self._cut_after:
            asyncio.get_running_loop().call_soon(self.device.peripheral.drop_link)


@dataclass
class _Tapped:
    """Passes on what is written, and counts it first: before what is answered."""

    server: VeSmartServer
    traffic: Traffic

    def read_control(self) -> bytes:
        return self.server.read_control()

    def write(self, channel: Channel, data: bytes) -> None:
        self.traffic.count()
        self.server.write(channel, data)

    def closed(self) -> None:
        self.server.closed()
