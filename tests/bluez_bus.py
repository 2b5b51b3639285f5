"""A private D-Bus, on it a BlueZ with one adapter near one emulated device, and other programs."""

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import subprocess
import tempfile
from typing import Final

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
import pytest
import pytest_socket

from emulator.device import DEFAULT_PIN, EmulatedDevice
from emulator.radio.bluez import Bluez, LocalAdapter
from emulator.radio.bluez_release import RELEASES, Release, Times
from emulator.snapshot import Snapshot

# Short, because the path of a socket may not be long.
CONFIGURATION: Final = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={folder}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""
MISSING: Final = "dbus-daemon is missing: install it (on Debian: apt install dbus-daemon), or run scripts/setup"
SNAPSHOT: Final = Snapshot(
    voltage=13.28, current=-4.2, state_of_charge=76.5, time_to_go=600, temperature=21, drawn_amphours=23.5
)


MANAGER_PATH: Final = "/org/bluez"
AGENT_PATH: Final = "/test/agent"


class Program:
    """Another program on the bus, with an agent if it registers one."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.passkey: int | None = int(DEFAULT_PIN)
        self.asked: list[str] = []
        bus.add_message_handler(self._answer)

    async def call(self, path: str, member: str, signature: str = "", *body: object) -> Message:
        """Call a method of the interface that is BlueZ's main one at this path, and return the reply."""
        return await self.call_interface(_main_interface(path), path, member, signature, *body)

    async def call_interface(
        self, interface: str, path: str, member: str, signature: str = "", *body: object
    ) -> Message:
        """Call a method of any interface of BlueZ, and return the reply."""
        return await self.bus.call(
            Message(
                destination="org.bluez",
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=list(body),
            )
        )

    async def succeed(self, path: str, member: str, signature: str = "", *body: object) -> None:
        """Call a method that must not fail."""
        reply = await self.call(path, member, signature, *body)
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body

    async def fail(self, path: str, member: str, signature: str = "", *body: object) -> str:
        """Return how a call fails, without what is common to the errors of BlueZ."""
        reply = await self.call(path, member, signature, *body)
        assert reply.message_type is MessageType.ERROR
        return str(reply.error_name).removeprefix("org.bluez.Error.")

    async def follow(self) -> None:
        """Be told what changes."""
        await self.bus.call(
            Message(
                destination="org.freedesktop.DBus",
                path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus",
                member="AddMatch",
                signature="s",
                body=["type='signal',sender='org.bluez'"],
            )
        )

    async def objects(self) -> Mapping[str, Mapping[str, Mapping[str, Variant]]]:
        """Return all objects of BlueZ; none while it does not run."""
        reply = await self.call_interface("org.freedesktop.DBus.ObjectManager", "/", "GetManagedObjects")
        return reply.body[0] if reply.message_type is MessageType.METHOD_RETURN else {}

    async def properties(self, path: str) -> Mapping[str, Variant]:
        """Return what is told of an object; nothing if there is none."""
        return (await self.objects()).get(path, {}).get(_main_interface(path), {})

    async def register(self, capability: str = "KeyboardOnly", *, default: bool = False) -> None:
        """Offer an agent."""
        await self.succeed(MANAGER_PATH, "RegisterAgent", "os", AGENT_PATH, capability)
        if default:
            await self.succeed(MANAGER_PATH, "RequestDefaultAgent", "o", AGENT_PATH)

    def _answer(self, message: Message) -> Message | None:
        if message.interface != "org.bluez.Agent1":
            return None
        self.asked.append(message.body[0])
        if self.passkey is None:
            return Message.new_error(message, "org.bluez.Error.Rejected", "No")
        return Message.new_method_return(message, "u", [self.passkey])


def _main_interface(path: str) -> str:
    """Return the interface that an object of BlueZ is there for."""
    if path == MANAGER_PATH:
        return "org.bluez.AgentManager1"
    return "org.bluez.Adapter1" if path.count("/") == MANAGER_PATH.count("/") + 1 else "org.bluez.Device1"


def find_daemon() -> str | None:
    """Return the bus daemon of this machine, or the one that the set-up fetched."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return shutil.which("dbus-daemon") or shutil.which(cache / "smallbms_ng/dbus/dbus-daemon")


@contextmanager
def running_bus() -> Generator[tuple[str, subprocess.Popen[str]]]:
    """Run a bus; give its address and its process."""
    if (daemon := find_daemon()) is None:
        pytest.skip(MISSING)
    with tempfile.TemporaryDirectory(prefix="bus") as folder:
        configuration = Path(folder) / "bus.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder), encoding="utf-8")
        command = (daemon, f"--config-file={configuration}", "--nofork", "--nopidfile", "--print-address")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            # It writes this when it listens.
            address = process.stdout.readline().strip()
            assert address, "the bus did not start"
            yield address, process
            process.terminate()


@pytest.fixture(scope="session")
def bus() -> Generator[str]:
    """Return the address of a bus that nobody else is on."""
    with running_bus() as (address, _process):
        yield address


@pytest.fixture
def mortal_bus() -> Generator[tuple[str, subprocess.Popen[str]]]:
    """Return the address of another, and its process."""
    pytest_socket.socket_allow_hosts(["127.0.0.1"], allow_unix_socket=True)
    with running_bus() as running:
        yield running


@pytest.fixture
def bus_address(bus: str) -> str:
    """Return the address of the bus, which is a socket in a folder; Home Assistant's test kit forbids those too."""
    pytest_socket.socket_allow_hosts(["127.0.0.1"], allow_unix_socket=True)
    return bus


@pytest.fixture
def bms() -> EmulatedDevice:
    """Return the device near the adapter."""
    return EmulatedDevice(lambda: SNAPSHOT)


@pytest.fixture
def adapters(bms: EmulatedDevice) -> tuple[LocalAdapter, ...]:
    """Return the adapters of the machine; tests parametrize it."""
    return (LocalAdapter(devices=(bms,)),)


@pytest.fixture(params=RELEASES, ids=lambda release: release.version)
def release(request: pytest.FixtureRequest) -> Release:
    """Return how bluetoothd behaves: as each of its releases, one after the other."""
    release: Release = request.param
    return release


@pytest.fixture
def times() -> Times:
    """Return how long bluetoothd takes; tests parametrize it.

    The end of a connection takes long enough for whoever does not wait for it to be found out.
    """
    return Times(link=0, disconnect=0.02)


@pytest.fixture
async def bluez(
    bus_address: str, adapters: tuple[LocalAdapter, ...], release: Release, times: Times
) -> AsyncGenerator[Bluez]:
    """Return a running BlueZ that has heard what is near."""
    bluez = Bluez(*adapters, release=release, times=times)
    await bluez.start(bus_address)
    for adapter in bluez.adapters.values():
        adapter.hear()
    yield bluez
    await bluez.stop()


@pytest.fixture
async def program(bus_address: str) -> AsyncGenerator[Program]:
    """Return another program on the bus."""
    bus = await MessageBus(bus_address).connect()
    yield Program(bus)
    bus.disconnect()
