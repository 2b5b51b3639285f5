"""What is assumed of advertisements and their records."""

from collections.abc import Callable
from typing import Final

from emulator.comparison.findings import Assumption, Check, Findings, Grade, finding
from emulator.comparison.observed import Advertised, Observed
from emulator.device import VE_SMART_SERVICE
from emulator.instant_readout import DEFAULT_PRODUCT_ID, NONCE_MASK, PRODUCT_ADVERTISEMENT, RECORD_TYPE
from emulator.recording import HeardAdvertisement, Outcome

_ADVERTISEMENT_LENGTH: Final = 24
_BEACON_LENGTH: Final = 4
_NONCE: Final = slice(5, 7)
_ERRORS_OF_THE_MANUAL: Final = frozenset({1, 5, 9, 11})
_HALF_OF_NONCES: Final = 0x8000

# First bit and width of fields, and what they hold when they say nothing.
_VOLTAGE: Final = (24, 16, 0x7FFF)
_CURRENT: Final = (40, 16, 0x7FFF)
_PERMISSIONS: Final = (58, 4, 0)
_LEVELS: Final = (72, 18, 0)
_STATE_OF_CHARGE: Final = (90, 10, 0x3FF)
_TEMPERATURE: Final = (120, 7, 0x7F)
_ERROR: Final = (0, 8)
_REMOTE_ON: Final = (66, 2)
_NO: Final = 2

# Registers that say the same as a field.
_ERROR_REGISTER: Final = 0x2101
_OFF_REASON: Final = 0x0207
_OFF_BY_REMOTE: Final = 1 << 3


def _each(agrees: Callable[[HeardAdvertisement], bool | None]) -> Check:
    """Return a check that asks each product advertisement; one of which it says None proves nothing."""

    def check(observed: Observed) -> Findings:
        for heard in observed.advertisements:
            answer = agrees(heard) if heard.bytes[:1] == bytes((PRODUCT_ADVERTISEMENT,)) else None
            if answer is not None:
                yield finding(agrees=answer, proof=_proof(heard))

    return check


def _proof(heard: HeardAdvertisement) -> str:
    return f"{heard.bytes.hex()} (heard at {heard.at:.1f} s)"


def _is_full(heard: HeardAdvertisement) -> bool:
    return len(heard.bytes) > _BEACON_LENGTH


def _is_ours(heard: HeardAdvertisement) -> bool:
    return _is_full(heard) and heard.bytes[_BEACON_LENGTH] == RECORD_TYPE


def _has_our_type(heard: HeardAdvertisement) -> bool | None:
    return _is_ours(heard) if _is_full(heard) else None


def _has_known_length(heard: HeardAdvertisement) -> bool | None:
    return len(heard.bytes) == _ADVERTISEMENT_LENGTH if _is_ours(heard) else None


def _has_known_product(heard: HeardAdvertisement) -> bool | None:
    number = int.from_bytes(heard.bytes[2:_BEACON_LENGTH], "little")
    return number == DEFAULT_PRODUCT_ID if len(heard.bytes) >= _BEACON_LENGTH else None


def _is_within_bounds(heard: HeardAdvertisement) -> bool | None:
    return {Outcome.BELIEVED: True, Outcome.IMPLAUSIBLE: False}.get(heard.outcome)


def _was_decrypted(heard: HeardAdvertisement) -> bool | None:
    return True if heard.decrypted and heard.outcome is Outcome.BELIEVED else None


def _advertises_no_service(observed: Observed) -> Findings:
    for heard in observed.advertisements:
        if VE_SMART_SERVICE in heard.services:
            yield finding(agrees=False, proof=f"{VE_SMART_SERVICE} (heard at {heard.at:.1f} s)")


def _counts_up(observed: Observed) -> Findings:
    """Yield each new nonce of each radio: what another radio hears late is no evidence."""
    latest: dict[str, HeardAdvertisement] = {}
    for heard in filter(_is_ours, observed.advertisements):
        before, latest[heard.radio] = latest.get(heard.radio), heard
        if before is not None and before.bytes != heard.bytes:
            step = _nonce(heard) - _nonce(before) & NONCE_MASK
            yield finding(agrees=0 < step < _HALF_OF_NONCES, proof=f"{before.bytes.hex()}, then {_proof(heard)}")


def _nonce(heard: HeardAdvertisement) -> int:
    return int.from_bytes(heard.bytes[_NONCE], "little")


def _is_in_records(start: int, width: int, nothing: int) -> Check:
    """Return a check that a field says something in at least one of the records that have a voltage."""

    def says(record: Advertised) -> bool:
        return record.field(start, width) != nothing

    def check(observed: Observed) -> Findings:
        records = [record for record in observed.records if record.field(*_VOLTAGE[:2]) != _VOLTAGE[2]]
        telling = next(filter(says, records), None)
        if records:
            yield finding(agrees=telling is not None, proof=(telling or records[-1]).proof)

    return check


def _has_errors_of_the_manual(observed: Observed) -> Findings:
    numbers = [(record.field(*_ERROR), record.proof) for record in observed.records]
    numbers += observed.numbers(_ERROR_REGISTER)
    return (finding(agrees=number in _ERRORS_OF_THE_MANUAL, proof=proof) for number, proof in numbers if number)


def _remote_is_the_terminals(observed: Observed) -> Findings:
    off = [proof for reasons, proof in observed.numbers(_OFF_REASON) if reasons & _OFF_BY_REMOTE]
    says_no = [record.proof for record in observed.records if record.field(*_REMOTE_ON) == _NO]
    if off and observed.records:
        yield finding(agrees=bool(says_no), proof=f"{off[0]}; {(says_no or [observed.records[-1].proof])[0]}")


ADVERTISED: Final = (
    Assumption(
        id="advertisement-kind",
        grade=Grade.ASSUMED,
        sentence="Every advertisement holds a record.",
        check=_each(_is_full),
    ),
    Assumption(
        id="record-type",
        grade=Grade.PUBLISHED,
        sentence="The record is of type 0x0A.",
        check=_each(_has_our_type),
    ),
    Assumption(
        id="record-length",
        grade=Grade.ASSUMED,
        sentence="The manufacturer data has 24 bytes.",
        check=_each(_has_known_length),
    ),
    Assumption(
        id="product-id",
        grade=Grade.ASSUMED,
        sentence="The product id is 0xA3EC.",
        check=_each(_has_known_product),
    ),
    Assumption(
        id="encryption",
        grade=Grade.PUBLISHED,
        sentence="Records are encrypted by AES in counter mode, whose first block begins with the nonce.",
        check=_each(_was_decrypted),
    ),
    Assumption(
        id="nonce",
        grade=Grade.LIVE,
        sentence="A record that differs from the one before has a nonce that counts up.",
        check=_counts_up,
    ),
    Assumption(
        id="restart",
        grade=Grade.ASSUMED,
        sentence="Three different late records mean that the device has started again.",
    ),
    Assumption(
        id="bounds",
        grade=Grade.ASSUMED,
        sentence="No value of a record is beyond the bounds within which it is believed.",
        check=_each(_is_within_bounds),
    ),
    Assumption(
        id="readout-off",
        grade=Grade.ASSUMED,
        sentence="The device advertises no service, also with Instant Readout off.",
        check=_advertises_no_service,
    ),
    Assumption(
        id="state-of-charge-in-record",
        grade=Grade.PUBLISHED,
        sentence="The record has the state of charge.",
        check=_is_in_records(*_STATE_OF_CHARGE),
    ),
    Assumption(
        id="current-in-record",
        grade=Grade.PUBLISHED,
        sentence="The record has the current.",
        check=_is_in_records(*_CURRENT),
    ),
    Assumption(
        id="temperature-in-record",
        grade=Grade.PUBLISHED,
        sentence="The record has the temperature.",
        check=_is_in_records(*_TEMPERATURE),
    ),
    Assumption(
        id="permissions-in-record",
        grade=Grade.ASSUMED,
        sentence="The record says whether charging and discharging are allowed.",
        check=_is_in_records(*_PERMISSIONS),
    ),
    Assumption(
        id="alarms-in-record",
        grade=Grade.ASSUMED,
        sentence="The record has warnings and alarms.",
        check=_is_in_records(*_LEVELS),
    ),
    Assumption(
        id="code-fields",
        grade=Grade.DEDUCED,
        sentence="Field n of the warnings and alarms has the codes with number n + 1.",
    ),
    Assumption(
        id="field-7",
        grade=Grade.DEDUCED,
        sentence="Field 7 of the warnings and alarms is low bank voltage.",
    ),
    Assumption(
        id="error-number",
        grade=Grade.DEDUCED,
        sentence="The error number is the number of the E-B code.",
    ),
    Assumption(
        id="errors",
        grade=Grade.DEDUCED,
        sentence="There are no errors but 1, 5, 9 and 11, which the manual has.",
        check=_has_errors_of_the_manual,
    ),
    Assumption(id="io-3", grade=Grade.PUBLISHED, sentence="3 in an IO field means no."),
    Assumption(
        id="remote",
        grade=Grade.ASSUMED,
        sentence="The IO field “remote on” follows the terminals L and H.",
        check=_remote_is_the_terminals,
    ),
)
