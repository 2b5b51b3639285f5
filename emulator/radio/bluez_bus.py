"""What the objects of the BlueZ double share: who calls, errors, and how properties are shown."""

import asyncio
from contextvars import ContextVar
from functools import partial
from typing import Annotated, Final, override

from dbus_fast import DBusError, Message, PropertyAccess, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusSignature
from dbus_fast.service import dbus_property

from emulator.gatt import AttCode

# Whose message is being served; a method that takes its time goes on with a copy of its own.
CALLER: Final = ContextVar[str]("CALLER")

# The value of a property that is not there just now. No radio reports it: it is the least that 16 bits hold.
NO_RSSI: Final = -(1 << 15)

_OBJECTS: Final = "a{oa{sa{sv}}}"

type Options = dict[str, Variant]

DBusStrings = Annotated[list[str], DBusSignature("as")]
DBusObjectPaths = Annotated[list[str], DBusSignature("ao")]
DBusBytesById = Annotated[dict[int, Variant], DBusSignature("a{qv}")]
DBusSocket = Annotated[tuple[int, int], DBusSignature("hq")]
DBusOptions = Annotated[Options, DBusSignature("a{sv}")]

readable = partial(dbus_property, PropertyAccess.READ)

# What bluetoothd makes of ATT errors that it has words for.
_ATT_ERRORS: Final = {
    AttCode.READ_NOT_PERMITTED: ("NotPermitted", "Read not permitted"),
    AttCode.WRITE_NOT_PERMITTED: ("NotPermitted", "Write not permitted"),
    AttCode.INSUFFICIENT_AUTHENTICATION: ("NotPermitted", "Not paired"),
    AttCode.INVALID_ATTRIBUTE_VALUE_LENGTH: ("InvalidArguments", "Invalid Length"),
}


class Bus(MessageBus):
    """A bus on which a device may be without a signal strength, as one that nobody scans for is."""

    @override
    def send(self, msg: Message) -> asyncio.Future[None]:  # type: ignore[override]  # as that of the class itself
        """Send a message; a list of objects goes without what is not there."""
        if msg.signature == _OBJECTS:
            for interfaces in msg.body[0].values():
                for properties in interfaces.values():
                    _leave_out_missing(properties)
        return super().send(msg)


def _leave_out_missing(properties: dict[str, Variant]) -> None:
    if "RSSI" in properties and properties["RSSI"].value == NO_RSSI:
        del properties["RSSI"]


def bluez_error(name: str, text: str = "") -> DBusError:
    """Return an error as BlueZ sends it."""
    return DBusError(f"org.bluez.Error.{name}", text or name)


def att_error(code: AttCode) -> DBusError:
    """Return the error that BlueZ makes of one of the device's."""
    return bluez_error(*_ATT_ERRORS.get(code, ("Failed", f"Operation failed with ATT error: 0x{code:02x}")))
