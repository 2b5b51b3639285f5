"""The line with which the emulator says that it is ready."""

import json

import pytest

from demo.answers import JsonObject
from demo.emulator import Device, Emulator
from demo.errors import DemoError

DEVICE: JsonObject = {"address": "c0:3a:5e:00:00:01", "name": "a BMS", "key": "ab" * 16, "pin": "000000"}
READY: JsonObject = {"host": "127.0.0.1", "port": 4321, "devices": [DEVICE], "control": "http://127.0.0.1:4322"}


def test_a_ready_emulator() -> None:
    assert Emulator.from_line(json.dumps(READY)) == Emulator(
        host="127.0.0.1",
        port=4321,
        control="http://127.0.0.1:4322",
        devices=(Device(address="C0:3A:5E:00:00:01", name="a BMS", key="ab" * 16, pin="000000"),),
    )


@pytest.mark.parametrize(
    "line",
    [
        "Hello!",
        "[]",
        "{}",
        json.dumps({**READY, "devices": []}),
        json.dumps({**READY, "devices": ["a BMS"]}),
        json.dumps({**READY, "port": "4321"}),
        json.dumps({**READY, "port": True}),
        json.dumps({**READY, "devices": [{"address": "c0:3a:5e:00:00:01"}]}),
    ],
)
def test_anything_else_is_a_sentence(line: str) -> None:
    with pytest.raises(DemoError):
        Emulator.from_line(line)
