"""What goes wrong over a connection, as a user is told."""

from collections.abc import Mapping
from typing import Final

from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from .client import (
    BadAnswer,
    Lost,
    NoAnswer,
    NoSlot,
    NotPaired,
    NotReachable,
    Refused,
    VeSmartError,
    WrongPin,
)
from .const import DOMAIN
from .protocol.levels import Clash
from .protocol.payloads import PayloadError

_KEYS: Final[Mapping[type[VeSmartError], str]] = {
    NoSlot: "no_slot",
    NotReachable: "not_reachable",
    WrongPin: "wrong_pin",
    NoAnswer: "no_answer",
    NotPaired: "not_paired",
    Lost: "connection_lost",
    BadAnswer: "bad_answer",
    Refused: "refused",
}


def failure(error: VeSmartError, device: str) -> HomeAssistantError:
    """Return what to raise when a device was not read or written."""
    return HomeAssistantError(
        translation_domain=DOMAIN,
        translation_key=next(_KEYS[kind] for kind in type(error).mro() if kind in _KEYS),
        translation_placeholders={"device": device, "error": str(error)},
    )


def invalid_value(error: PayloadError) -> ServiceValidationError:
    """Return what to raise for a value that the device is not to be given."""
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="invalid_value",
        translation_placeholders={"error": str(error)},
    )


def warning_not_above_floor(levels: Clash) -> ServiceValidationError:
    """Return what to raise for levels that do not go together."""
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="warning_not_above_floor",
        translation_placeholders={"warning": f"{levels.warning:g}", "floor": f"{levels.floor:g}"},
    )
