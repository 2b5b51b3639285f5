"""Finds keys and PINs, and parts of them, in whatever a run has produced."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
import json
import re
from typing import Final

# So many bytes of a key in a row, or digits of a PIN, are no coincidence in what a run produces.
KEY_PART: Final = 5
PIN_PART: Final = 5
# What people and programs put between bytes or digits.
_JOINTS: Final = (" ", ":", "-", ",", ", ", "_", ".")
_BASE64_GROUP: Final = 3


def leaks(text: str, *, keys: Iterable[bytes] = (), pins: Iterable[str] = ()) -> list[str]:
    """Return each form in which a text holds a secret or a part of it, with what stands around it."""
    lowered = text.lower()
    found = [_around(text, lowered, form) for key in keys for form in _key_forms(key) if form.lower() in lowered]
    found += [
        _shown(text, match.start(), match.end())
        for pin in pins
        for pattern in _pin_patterns(pin)
        if (match := re.search(pattern, lowered))
    ]
    return found


def as_text(produced: object) -> str:
    """Return anything as text in which a secret can be found, whatever it is nested in."""
    try:
        return json.dumps(produced, default=repr, ensure_ascii=False)
    except TypeError:
        return repr(produced)


def _around(text: str, lowered: str, form: str) -> str:
    start = lowered.index(form.lower())
    return _shown(text, start, start + len(form))


def _shown(text: str, start: int, end: int) -> str:
    return f"{text[start:end]!r} in {text[max(0, start - 120) : end + 40]!r}"


def _key_forms(key: bytes) -> Iterator[str]:
    digits = key.hex()
    # Also where somebody cut in the middle of a byte.
    yield from (digits[at : at + 2 * KEY_PART] for at in range(len(digits) - 2 * KEY_PART + 1))
    yield from (str(int.from_bytes(key, order)) for order in ("little", "big"))
    yield from _base64_forms(key)
    for at in range(len(key) - KEY_PART + 1):
        yield from _part_forms(key[at : at + KEY_PART])


def _part_forms(part: bytes) -> Iterator[str]:
    yield from (part.hex(joint) for joint in _JOINTS if len(joint) == 1)
    yield from (joint.join(map(str, part)) for joint in _JOINTS)
    yield ", ".join(f"0x{byte:02x}" for byte in part)
    yield ", ".join(map(hex, part))
    yield "".join(f"\\x{byte:02x}" for byte in part)
    written = repr(part)[2:-1]
    yield written
    yield written.replace("\\", "\\\\")
    yield part.decode("latin-1")


def _base64_forms(key: bytes) -> Iterator[str]:
    """Yield the key in Base64, wherever in a longer text it begins, without its ends, which others share."""
    for before in range(_BASE64_GROUP):
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + key).decode()[4:20]


def _pin_patterns(pin: str) -> Iterator[str]:
    for part in {pin, pin[:PIN_PART], pin[-PIN_PART:]}:
        yield rf"(?<![\d.a-f]){part}(?![\da-f])"
    yield r"(?<![\d.a-f])" + r"[ :,\-_'\"]{0,4}".join(pin) + r"(?![\da-f])"
    yield pin.encode().hex()
    yield from (pin.encode().hex(joint) for joint in (" ", ":"))
    number = int(pin)
    yield from (number.to_bytes(4, order).hex() for order in ("little", "big"))
    yield re.escape(b64encode(pin.encode()).decode().lower())
