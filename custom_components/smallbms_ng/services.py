"""Actions: reading any register, for owners who help to find out what the device has."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from itertools import chain
import re
from typing import Final

from homeassistant.const import ATTR_CONFIG_ENTRY_ID
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse, SupportsResponse, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.service import async_get_config_entry, async_register_admin_service
from homeassistant.util.json import JsonObjectType, JsonValueType
import voluptuous as vol

from .connection.link import Answer, Reading, Refusal
from .const import DOMAIN
from .coordinator import PagesCoordinator, SmallBmsConfigEntry
from .protocol.payloads import Value
from .protocol.registers import BY_ID, NEVER_READ, Name, named

ACTION_READ_REGISTERS: Final = "read_registers"
ATTR_INSTANCE: Final = "instance"
ATTR_REGISTERS: Final = "registers"

# The connection stays open while they are read, and the phone has to wait.
_MOST_REGISTERS: Final = 64
_MOST_INSTANCES: Final = 255
_NUMBER: Final = re.compile(r"0x[0-9a-f]{1,4}", re.IGNORECASE)
_LARGEST_NUMBER: Final = 0xFFFF

# YAML turns what looks like a number into one.
_REGISTER_NUMBER: Final = vol.All(int, vol.Range(min=0, max=_LARGEST_NUMBER))

SCHEMA: Final = vol.Schema(
    {
        vol.Required(ATTR_CONFIG_ENTRY_ID): cv.string,
        vol.Required(ATTR_REGISTERS): vol.All(
            cv.ensure_list, vol.Length(min=1, max=_MOST_REGISTERS), [vol.Any(_REGISTER_NUMBER, str)]
        ),
        vol.Optional(ATTR_INSTANCE): vol.All(vol.Coerce(int), vol.Range(min=0, max=_MOST_INSTANCES)),
    }
)


class Outcome(StrEnum):
    """What a request for a register led to."""

    ANSWERED = "answered"
    REFUSED = "refused"
    SILENT = "silent"


@callback
def async_setup_actions(hass: HomeAssistant) -> None:
    """Register the actions."""

    async def read_registers(call: ServiceCall) -> ServiceResponse:
        return await _async_read_registers(hass, call)

    async_register_admin_service(
        hass, DOMAIN, ACTION_READ_REGISTERS, read_registers, SCHEMA, supports_response=SupportsResponse.ONLY
    )


def json_value(value: Value) -> JsonValueType:
    """Return the value of a register for JSON; bytes as hexadecimal digits."""
    match value:
        case bytes():
            return value.hex()
        case Mapping():
            return {name: None if part is None else _json_part(part) for name, part in value.items()}
    return value


def _json_part(part: object) -> JsonValueType:
    return part if isinstance(part, int | float | str) else str(part)


async def _async_read_registers(hass: HomeAssistant, call: ServiceCall) -> ServiceResponse:
    """Return the answers of the device. Raises HomeAssistantError."""
    registers = tuple(dict.fromkeys(chain.from_iterable(map(_parse, call.data[ATTR_REGISTERS]))))
    _check_secrets(registers)
    entry: SmallBmsConfigEntry = async_get_config_entry(hass, DOMAIN, call.data[ATTR_CONFIG_ENTRY_ID])
    answers = await _pages_of(entry).async_read_registers(registers, call.data.get(ATTR_INSTANCE))
    return {ATTR_REGISTERS: [_row(register, answers[register]) for register in registers]}


def _pages_of(entry: SmallBmsConfigEntry) -> PagesCoordinator:
    if entry.runtime_data.pages is None:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="no_pin", translation_placeholders={"device": entry.title}
        )
    return entry.runtime_data.pages


def _parse(text: str | int) -> tuple[int, ...]:
    """Return the registers of a name, or the one of a number; a number in a text is hexadecimal."""
    if isinstance(text, int):
        return (text,)
    if text in list(Name):
        return tuple(register.id for register in named(Name(text)))
    if _NUMBER.fullmatch(text):
        return (int(text, 16),)
    raise ServiceValidationError(
        translation_domain=DOMAIN, translation_key="unknown_register", translation_placeholders={"register": text}
    )


def _check_secrets(registers: Iterable[int]) -> None:
    if secrets := sorted(NEVER_READ.intersection(registers)):
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="secret_register",
            translation_placeholders={"register": f"0x{secrets[0]:04X}"},
        )


def _row(register: int, answer: Answer) -> JsonObjectType:
    name = BY_ID[register].name if register in BY_ID else None
    return {"register": f"0x{register:04X}", "name": name} | _outcome(answer)


def _outcome(answer: Answer) -> JsonObjectType:
    match answer:
        case Reading(payloads=payloads, values=values):
            return {
                "outcome": Outcome.ANSWERED,
                "payloads": [payload.hex() for payload in payloads],
                "values": [json_value(value) for value in values],
            }
        case Refusal(code=code):
            return {"outcome": Outcome.REFUSED, "code": code}
    return {"outcome": Outcome.SILENT}
