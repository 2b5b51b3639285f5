"""What the tests on the real stack need: a bus, bluetoothd, and the air. Elsewhere they are not collected."""

from collections.abc import AsyncGenerator, Generator
import os
from typing import Final

import pytest

from tests.bluez_bus import running_bus

# Only scripts/test-bluez has these: bluetoothd, a kernel with Bluetooth, and bumble.
AVAILABLE: Final = "BLUEZ" in os.environ

collect_ignore_glob = [] if AVAILABLE else ["test_*.py"]

if AVAILABLE:
    from .machine import Bluetoothd, Machine, program
    from .stage import Stage

    @pytest.fixture(scope="session")
    def stage() -> Generator[Stage]:
        """Return what is on the air: the device, and the adapters of the machine."""
        with Stage().played() as stage:
            yield stage

    @pytest.fixture(scope="session")
    def bluetoothd(stage: Stage) -> Generator[Bluetoothd]:
        """Return bluetoothd, which runs, on a bus of the machine."""
        daemon = Bluetoothd()
        with running_bus() as (address, _process):
            os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = address
            daemon.start()
            yield daemon
            daemon.stop()

    @pytest.fixture
    async def machine(bluetoothd: Bluetoothd, stage: Stage) -> AsyncGenerator[Machine]:
        """Return the machine, none of whose adapters know the device yet; nor does it know them."""
        async with program() as one:
            machine = Machine(bluetoothd, one)
            stage.reset()
            await machine.reset()
            yield machine
            stage.reset()
            await machine.reset()

    @pytest.fixture
    async def heard(machine: Machine) -> Machine:
        """Return the machine, whose first adapter has heard the device."""
        await machine.hear()
        return machine
