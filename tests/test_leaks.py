"""What looks for secrets finds them in every form, and in nothing else."""

from base64 import b64encode
from typing import Final

import pytest

from .leaks import as_text, leaks

KEY: Final = bytes.fromhex("5eed0fba77e4b00e9a3c51d2c4f78e16")
PIN: Final = "014916"


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        KEY.hex().upper(),
        f"key={KEY.hex()[7:17]}…",
        KEY.hex(":"),
        KEY[3:9].hex(" "),
        as_text(KEY),
        as_text({"nested": [KEY[2:8]]}),
        as_text(bytearray(KEY)),
        as_text(list(KEY)),
        str(int.from_bytes(KEY, "little")),
        ",".join(map(hex, KEY)).replace(",", ", "),
        b64encode(KEY).decode(),
        b64encode(b"key: " + KEY).decode(),
    ],
)
def test_a_key_is_found(text: str) -> None:
    assert leaks(f"2026-11-28 DEBUG {text}\n", keys=[KEY])


@pytest.mark.parametrize(
    "text",
    [
        PIN,
        f"passkey={int(PIN)}",
        "PIN 014 916",
        "0-1-4-9-1-6",
        as_text(PIN),
        as_text(list(PIN)),
        PIN.encode().hex(),
        int(PIN).to_bytes(4, "little").hex(),
        f"{PIN[:5]}*",
        b64encode(PIN.encode()).decode(),
    ],
)
def test_a_pin_is_found(text: str) -> None:
    assert leaks(f"2026-11-28 DEBUG {text}\n", pins=[PIN])


@pytest.mark.parametrize(
    "text",
    [
        f"advertised {KEY[:1].hex()} and more",
        "5eed0fba 77e4b00f",
        "0.014916",
        "1014916",
        "a014916b",
        "01 49 17",
        "ca014916",
        "",
    ],
)
def test_nothing_else_is_found(text: str) -> None:
    assert not leaks(text, keys=[KEY], pins=[PIN])
