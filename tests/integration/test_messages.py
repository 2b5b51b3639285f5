"""What a user is told when something goes wrong over a connection: words of their language, and nothing else."""

import logging

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import pytest

from custom_components.smallbms_ng.messages import localized

from .bench import Bench, a_bench
from .conftest import ADDRESS, Radio


async def test_the_words_of_bluetooth_are_for_the_log(
    hass: HomeAssistant, radio: Radio, caplog: pytest.LogCaptureFixture
) -> None:
    """They are English, and name the address of the device."""
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        bench.device.faults.refuse_connections = True
        caplog.set_level(logging.DEBUG)
        with pytest.raises(HomeAssistantError) as raised:
            await bench.press("read_now")
        bench.device.faults.refuse_connections = False
    assert raised.value.translation_key == "not_reachable"
    assert raised.value.translation_placeholders == {"device": bench.entry.title}
    assert ADDRESS not in str(raised.value)
    debug = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert [text for text in debug if text.startswith(f"{bench.entry.title}: NotReachable") and ADDRESS in text]


# Those whose texts are ours; of every other language the texts are English.
@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("en", "0.5 %"),
        ("nl", "0,5 %"),
        ("de", "0,5 %"),
        ("fr", "0,5 %"),
        ("es", "0,5 %"),
        ("it", "0,5 %"),
        ("sv", "0.5 %"),
    ],
)
async def test_limits_have_the_decimal_sign_of_the_language(
    hass: HomeAssistant, radio: Radio, language: str, shown: str
) -> None:
    async with a_bench(Bench(hass, radio)) as bench:
        await bench.load()
        hass.config.language = language
        with pytest.raises(HomeAssistantError) as raised:
            await bench.set("tail_current", 0.55)
    assert (raised.value.translation_placeholders or {})["low"] == shown
    assert localized("13.25 V", language) == "13.25 V".replace(".", shown[1])
