"""What can go wrong on a connection, and how bleak tells of it."""

from collections.abc import Iterator
from contextlib import contextmanager
import re
from typing import Final

from bleak.exc import BleakError, BleakGATTProtocolError
from bleak_retry_connector import BleakOutOfConnectionSlotsError

from ..protocol.session import ProtocolError


class VeSmartError(Exception):
    """Nothing was read or written."""


class NotReachable(VeSmartError):
    """No radio has a way to the device, or it takes no connection: somebody else may hold it."""


class NoSlot(NotReachable):
    """The radios near the device carry as many connections as they can."""


class NotPaired(VeSmartError):
    """The device asks for a bond, which the radio in use has not."""


class BondRefused(NotPaired):
    """The device does not know the bond any more that an adapter of this machine has with it.

    adapter is the name or the address of that adapter. Only after this error does it make sense to remove the bond.
    """

    def __init__(self, message: str, adapter: str) -> None:
        super().__init__(message)
        self.adapter = adapter


class NotPairedByProxy(NotPaired):
    """A proxy was asked to encrypt its link, and could not. proxy is its name."""

    def __init__(self, message: str, proxy: str) -> None:
        super().__init__(message)
        self.proxy = proxy


class ProxyHasNoPin(NotPairedByProxy):
    """The proxy cannot pair, or pairs without a PIN, which the device does not take for a bond."""


class ProxyPinRefused(NotPairedByProxy):
    """The device refuses the PIN that the proxy holds."""


class ProxyPinOutdated(ProxyPinRefused):
    """The proxy got through once; now the device refuses its bond and its PIN."""


class WrongPin(NotPaired):
    """Pairing was tried and refused."""


class NoAnswer(NotPaired):
    """Connected, but nothing is answered. This is how a missing bond looks where requests are dropped silently."""


class Lost(VeSmartError):
    """The connection ended before the answer came."""


class BadAnswer(VeSmartError):
    """What the device answers is no VE.Smart."""


class ServicesMoved(BadAnswer):
    """The services are not where they are looked for: those of an older firmware may have been kept."""


class Refused(VeSmartError):
    """The device does not take a value. Without a code it said nothing but kept its own."""

    def __init__(self, register: int, code: int | None) -> None:
        reason = "kept its value" if code is None else f"answered with code {code}"
        super().__init__(f"The device {reason} of register 0x{register:04X}")
        self.register = register
        self.code = code


# Insufficient authentication, authorization, size of the encryption key, encryption.
_WANTS_BOND: Final = frozenset({0x05, 0x08, 0x0C, 0x0F})
# Invalid handle, attribute not found.
_NOTHING_THERE: Final = frozenset({0x01, 0x0A})
_ATT_ERROR: Final = re.compile(r"\berror=(\d+)\b")
# How BlueZ tells of the first of these.
_NOT_PAIRED: Final = ("Not paired",)
# What BlueZ, having looked again, has no object for any more.
_NO_OBJECT: Final = ("org.freedesktop.DBus.Error.UnknownObject",)
_PAIRING_FAILED: Final = ("AuthenticationFailed", "AuthenticationRejected", "Pairing failed")
_NO_SLOT: Final = ("connection slot", "available connection")

# How a proxy says that pairing failed, with the number that the ESP32's Bluetooth stack gives it.
_PROXY_ERROR: Final = re.compile(r"Pairing failed due to error: (\d+)")
# Passkey entry failed, confirm value failed, repeated attempts, check of the DH key failed, encryption failed. The last
# is what a bond gives that the device does not know any more. Read in the stack's header, not seen. Another number
# means that there is no PIN.
_PIN_REFUSED: Final = frozenset({78, 81, 86, 88, 97})

# TimeoutError is an OSError; EOFError and BrokenPipeError come from D-Bus.
_FAILURES: Final = (BleakError, EOFError, OSError)


@contextmanager
def asking_proxy(proxy: str, *, worked_before: bool) -> Iterator[None]:
    """Raise our own error for what goes wrong while a proxy encrypts its link."""
    try:
        yield
    except (NotImplementedError, TimeoutError) as error:
        raise ProxyHasNoPin(_text(error), proxy) from error
    except BleakError as error:
        if (match := _PROXY_ERROR.search(str(error))) is None:
            raise Lost(_text(error)) from error
        refused = ProxyPinOutdated if worked_before else ProxyPinRefused
        raise (refused if int(match[1]) in _PIN_REFUSED else ProxyHasNoPin)(_text(error), proxy) from error


@contextmanager
def connecting(*, pair: bool) -> Iterator[None]:
    """Raise our own error for what goes wrong while a connection is made."""
    try:
        yield
    except _FAILURES as error:
        raise _while_connecting(error, pair=pair) from error


@contextmanager
def connected() -> Iterator[None]:
    """Raise our own error for what goes wrong on a connection."""
    try:
        yield
    except ProtocolError as error:
        raise BadAnswer(str(error)) from error
    except _FAILURES as error:
        raise (NotPaired if _wants_bond(error) else Lost)(_text(error)) from error


@contextmanager
def opening() -> Iterator[None]:
    """Raise our own error for what goes wrong on a connection before anything was asked."""
    try:
        yield
    except BleakError as error:
        if _finds_nothing(error):
            raise ServicesMoved(_text(error)) from error
        raise


def _while_connecting(error: Exception, *, pair: bool) -> VeSmartError:
    if _has_no_slot(error):
        return NoSlot(_text(error))
    if pair and (_wants_bond(error) or _mentions(error, _PAIRING_FAILED)):
        return WrongPin(_text(error))
    if _wants_bond(error):
        return NotPaired(_text(error))
    return NotReachable(_text(error))


def _has_no_slot(error: Exception) -> bool:
    """Return whether an error is about slots. Time that ran out in a wait for one has that in its context."""
    return isinstance(error, BleakOutOfConnectionSlotsError) or _mentions(error, _NO_SLOT)


def _wants_bond(error: Exception) -> bool:
    return _has_code(error, _WANTS_BOND) or _mentions(error, _NOT_PAIRED)


def _finds_nothing(error: Exception) -> bool:
    return _has_code(error, _NOTHING_THERE) or _mentions(error, _NO_OBJECT)


def _has_code(error: Exception, codes: frozenset[int]) -> bool:
    return any(_att_code(one) in codes for one in _chain(error))


def _att_code(error: BaseException) -> int | None:
    if isinstance(error, BleakGATTProtocolError):
        return error.code
    # Through a proxy it is only in the text.
    match = _ATT_ERROR.search(str(error)) if isinstance(error, BleakError) else None
    return int(match[1]) if match else None


def _mentions(error: Exception, texts: tuple[str, ...]) -> bool:
    return any(text in str(one) for one in _chain(error) for text in texts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
