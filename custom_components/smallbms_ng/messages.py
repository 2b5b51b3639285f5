"""Texts for the user: the errors of a connection, and numbers as a language writes them."""

from collections.abc import Mapping
import logging
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.translation import async_get_translations

from .connection.errors import (
    BadAnswer,
    Lost,
    NoAnswer,
    NoSlot,
    NotPaired,
    NotPairedByProxy,
    NotReachable,
    ProxyHasNoPin,
    ProxyPinOutdated,
    ProxyPinRefused,
    Refused,
    VeSmartError,
    WrongPin,
)
from .const import DOMAIN
from .protocol.payloads import PayloadError
from .protocol.registers import BY_ID, Name, OutOfLimits, Page, ThresholdConflict
from .protocol.session import RefusalReason

_LOGGER = logging.getLogger(__name__)

_KEYS: Final[Mapping[type[VeSmartError], str]] = {
    NoSlot: "no_slot",
    NotReachable: "not_reachable",
    WrongPin: "wrong_pin",
    NoAnswer: "no_answer",
    ProxyHasNoPin: "proxy_has_no_pin",
    ProxyPinOutdated: "proxy_pin_outdated",
    ProxyPinRefused: "proxy_pin_refused",
    NotPaired: "not_paired",
    Lost: "connection_lost",
    BadAnswer: "bad_answer",
    Refused: "refused",
}
_REFUSED: Final[Mapping[RefusalReason, str]] = {
    RefusalReason.VALUE: "refused_value",
    RefusalReason.READ_ONLY: "refused_read_only",
    RefusalReason.MISSING: "refused_missing",
    RefusalReason.TRANSIENT: "refused_busy",
}
# One text for each setting: a name filled in as a placeholder could not be translated.
_INVALID: Final[Mapping[Name, str]] = {
    Name.CHARGED_VOLTAGE: "invalid_charged_voltage",
    Name.TAIL_CURRENT: "invalid_tail_current",
    Name.CHARGED_DETECTION_TIME: "invalid_charged_detection_time",
    Name.LOW_SOC_WARNING: "invalid_low_soc_warning",
    Name.DISCHARGE_FLOOR: "invalid_discharge_floor",
    Name.PRE_ALARM_CELL_VOLTAGE: "invalid_pre_alarm_cell_voltage",
    Name.STATE_OF_CHARGE: "invalid_state_of_charge",
}


# Of the languages with texts of their own. All others get the English texts.
_WITH_DECIMAL_COMMA: Final = frozenset({"de", "es", "fr", "it", "nl"})


def localized(number: str, language: str) -> str:
    """Return a number, which may have a unit, with the decimal sign of a language."""
    return number.replace(".", ",") if language in _WITH_DECIMAL_COMMA else number


async def async_text_of(hass: HomeAssistant, error: HomeAssistantError) -> str:
    """Return the text of an error in the language of Home Assistant; in English if it has no translation."""
    words = await async_get_translations(hass, hass.config.language, "exceptions", [DOMAIN])
    text = words.get(f"component.{DOMAIN}.exceptions.{error.translation_key}.message")
    return text.format(**error.translation_placeholders or {}) if text else str(error)


def failure(error: VeSmartError, device: str) -> HomeAssistantError:
    """Return the error to raise when reading or writing a device fails. Bluetooth's own text only goes to the log."""
    _LOGGER.debug("%s: %s: %s", device, type(error).__name__, error)
    if isinstance(error, Refused) and error.code is not None:
        return HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key=_refused_key(error),
            translation_placeholders={"device": device, "code": str(error.code)},
        )
    return HomeAssistantError(
        translation_domain=DOMAIN,
        translation_key=next(_KEYS[kind] for kind in type(error).mro() if kind in _KEYS),
        translation_placeholders={"device": device} | ({"proxy": proxy} if (proxy := proxy_in(error)) else {}),
    )


def _refused_key(error: Refused) -> str:
    """Return the key of the text for a refusal. An action has no value that the device could refuse."""
    row = BY_ID.get(error.register)
    if error.reason is RefusalReason.VALUE and row and row.page is Page.ACTIONS:
        return "refused_with_code"
    return _REFUSED.get(error.reason, "refused_with_code")


def proxy_in(error: BaseException | None) -> str:
    """Return the name of the proxy in an error; empty if it names none."""
    return error.proxy if isinstance(error, NotPairedByProxy) else ""


def invalid_value(error: PayloadError, language: str) -> ServiceValidationError:
    """Return the error to raise for a value that must not be written."""
    if isinstance(error, OutOfLimits) and error.register.name in _INVALID:
        return ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key=_INVALID[error.register.name],
            translation_placeholders=_limits(error, language),
        )
    _LOGGER.debug("Not written: %s", error)
    return ServiceValidationError(translation_domain=DOMAIN, translation_key="invalid_value")


def _limits(error: OutOfLimits, language: str) -> dict[str, str]:
    limits, unit = error.limits, error.register.unit or ""
    numbers = {"low": limits.low, "high": limits.high, "step": limits.step}
    return {name: localized(f"{number:g} {unit}".strip(), language) for name, number in numbers.items()}


def warning_not_above_floor(levels: ThresholdConflict, language: str) -> ServiceValidationError:
    """Return the error to raise for a warning threshold that is not above the discharge floor."""
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="warning_not_above_floor",
        translation_placeholders={
            "warning": localized(f"{levels.warning:g}", language),
            "floor": localized(f"{levels.floor:g}", language),
        },
    )
