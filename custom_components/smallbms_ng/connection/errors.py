"""The errors of a connection, and how those of bleak become them."""

from collections.abc import Iterator
from contextlib import contextmanager
import re
from typing import Final

from bleak.exc import BleakError, BleakGATTProtocolError
from bleak_retry_connector import BleakOutOfConnectionSlotsError

from ..protocol.session import ProtocolError, RefusalReason, refusal_reason


class VeSmartError(Exception):
    """The base of all errors of a connection."""


class NotReachable(VeSmartError):
    """No radio reaches the device, or it accepts no connection: another client may be connected."""


class NoSlot(NotReachable):
    """No radio near the device has a free connection slot."""


class NotPaired(VeSmartError):
    """The device requires a bond, and the radio in use has none."""


class BondRefused(NotPaired):
    """The device has lost its bond with a local adapter.

    adapter: the name or address of that adapter. Only this error justifies removing the bond.
    """

    def __init__(self, message: str, adapter: str) -> None:
        super().__init__(message)
        self.adapter = adapter


class NotPairedByProxy(NotPaired):
    """A proxy could not encrypt its link when asked. proxy: its name."""

    def __init__(self, message: str, proxy: str) -> None:
        super().__init__(message)
        self.proxy = proxy


class ProxyHasNoPin(NotPairedByProxy):
    """The proxy cannot pair, or it pairs without a PIN, which the device does not accept."""


class ProxyPinRefused(NotPairedByProxy):
    """The device refuses the PIN in the configuration of the proxy."""


class ProxyPinOutdated(ProxyPinRefused):
    """The proxy encrypted its link before; now the device refuses its bond and its PIN."""


class WrongPin(NotPaired):
    """The device refused the PIN."""


class NoAnswer(NotPaired):
    """The device is connected but does not answer, perhaps because it drops requests without a bond."""


class EmptyNotifications(NoAnswer):
    """The device answers, but its notifications arrive without content."""


class Lost(VeSmartError):
    """The connection ended before the device answered."""


class BadAnswer(VeSmartError):
    """The device sent something that is not valid VE.Smart."""


class ServicesMoved(BadAnswer):
    """The services have moved: the cached ones may be those of an older firmware."""


class Refused(VeSmartError):
    """The device refuses a value. code: None if it kept its own value without an answer."""

    def __init__(self, register: int, code: int | None) -> None:
        reason = "kept its value" if code is None else f"answered with code {code}"
        super().__init__(f"The device {reason} of register 0x{register:04X}")
        self.register = register
        self.code = code

    @property
    def reason(self) -> RefusalReason:
        """Why the device refuses the value, as far as its code tells."""
        return RefusalReason.UNKNOWN if self.code is None else refusal_reason(self.code)


# ATT: insufficient authentication, authorization, encryption key size, encryption.
_WANTS_BOND: Final = frozenset({0x05, 0x08, 0x0C, 0x0F})
# ATT: invalid handle, attribute not found.
_NOTHING_THERE: Final = frozenset({0x01, 0x0A})
_ATT_ERROR: Final = re.compile(r"\berror=(\d+)\b")
# BlueZ's text for insufficient authentication.
_NOT_PAIRED: Final = ("Not paired",)
# BlueZ's error for a characteristic that it no longer finds on the device.
_NO_OBJECT: Final = ("org.freedesktop.DBus.Error.UnknownObject",)
_PAIRING_FAILED: Final = ("AuthenticationFailed", "AuthenticationRejected", "Pairing failed")
_NO_SLOT: Final = ("connection slot", "available connection")

# A proxy's text for a failed pairing, with the error number of the ESP32's Bluetooth stack.
_PROXY_ERROR: Final = re.compile(r"Pairing failed due to error: (\d+)")
# Passkey entry failed, confirm value failed, repeated attempts, DH key check failed, encryption failed. The last one
# means that the device has lost the bond. From the stack's header, not seen. Any other number: the proxy has no PIN.
_PIN_REFUSED: Final = frozenset({78, 81, 86, 88, 97})

# TimeoutError is an OSError; EOFError and BrokenPipeError come from D-Bus.
_FAILURES: Final = (BleakError, EOFError, OSError)


@contextmanager
def asking_proxy(proxy: str, *, worked_before: bool) -> Iterator[None]:
    """Turn the errors of a proxy that is to encrypt its link into VeSmartErrors."""
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
    """Turn the errors of connecting into VeSmartErrors. pair: connecting includes pairing."""
    try:
        yield
    except _FAILURES as error:
        raise _while_connecting(error, pair=pair) from error


@contextmanager
def connected() -> Iterator[None]:
    """Turn the errors of an established connection into VeSmartErrors."""
    try:
        yield
    except ProtocolError as error:
        raise BadAnswer(str(error)) from error
    except _FAILURES as error:
        raise (NotPaired if _wants_bond(error) else Lost)(_text(error)) from error


@contextmanager
def opening() -> Iterator[None]:
    """Raise ServicesMoved if a characteristic is missing while the link is opened."""
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
    """Return whether an error, or one in its context such as before a time-out, is about connection slots."""
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
    """Yield an error and its causes."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
