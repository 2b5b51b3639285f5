"""The table of personalities, and what each of the devices in it sends and answers."""

from collections.abc import Iterable
from pathlib import Path
import re
from typing import Final

from bluetooth_data_tools import parse_advertisement_data_bytes
import pytest

from custom_components.smallbms_ng.protocol.advertisement import decrypt
from emulator.device import DEFAULT_KEY, VE_SMART_SERVICE, EmulatedDevice
from emulator.instant_readout import COMPANY_ID, encode_record
from emulator.personality.quirks import EVERY_REGISTER, Arrays, Quirks, RadioQuirks
from emulator.personality.table import DEFAULT, FILE, PERSONALITIES, name_of, read
from emulator.reading.yaml_reader import ScenarioError
from emulator.snapshot import Snapshot
from emulator.ve_smart.server import Channel, VeSmartServer

from .conftest import Bench
from .personalities import emulated

NAMED: Final = {
    "battery-protect",
    "mppt",
    "ip22",
    "smart-shunt",
    "owner-2026",
    "shy",
    "bank-by-selection",
    "beacon",
    "new-firmware",
    "strict",
}
OPENING: Final = bytes.fromhex("f980")


def one(text: str) -> str:
    """Return a table with one personality."""
    return f"personalities:\n  x:\n    description: d\n    evidence: e\n{text}"


def sent(device: EmulatedDevice) -> tuple[list[str], bytes | None]:
    """Return the service UUIDs and the manufacturer data of the next advertisement."""
    _, uuids, _, manufacturer_data, _ = parse_advertisement_data_bytes(device.advertisement().joined)
    return uuids, manufacturer_data.get(COMPANY_ID)


def ask(name: str, *requests: str) -> str:
    """Return everything that a device of a personality answers, as hex."""
    said: list[bytes] = []
    device = emulated(name)
    server = VeSmartServer(
        device.box, lambda _, data: said.append(data), mtu=512, quirks=device.service.quirks, clock=lambda: 0.0
    )
    server.write(Channel.CONTROL, OPENING)
    for request in ("0300", *requests):
        said.clear()
        server.write(Channel.LAST_DATA, bytes.fromhex(request))
    return b"".join(part for part in said if part != b"\xf9\x01").hex()


def test_these_are_there() -> None:
    assert set(PERSONALITIES) >= NAMED
    assert PERSONALITIES[DEFAULT].connection == Quirks()
    assert PERSONALITIES[DEFAULT].radio == RadioQuirks()


def test_the_page_about_the_emulator_lists_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")
    listed = page.partition("## Personalities\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(.+?)` \|", listed, re.MULTILINE) == [*PERSONALITIES]


def test_each_is_told_apart_by_its_switches() -> None:
    assert [name_of(row.connection, row.radio) for row in PERSONALITIES.values()] == [*PERSONALITIES]
    assert name_of(Quirks(seed=5), RadioQuirks()) is None


@pytest.mark.parametrize("name", PERSONALITIES)
def test_each_builds_advertises_and_answers(name: str) -> None:
    assert sent(emulated(name).device)[1]
    definite = PERSONALITIES[name].connection.arrays is not Arrays.INDEFINITE
    read_mode = "050081190200" if definite else "05009f190200ff"
    assert ask(name, read_mode, read_mode) == "08001902004103"


def test_registers_are_listed_or_all() -> None:
    table = read(one("    connection: {missing: [0x1008, 4096], refused_writes: all}"), "x.yaml")
    assert table["x"].connection == Quirks(missing=frozenset((0x1008, 0x1000)), refused_writes=EVERY_REGISTER)
    assert read(one("    connection:"), "x.yaml")["x"].connection == Quirks()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("    connection: {color: red}", "x.yaml, line 5: color is not known here"),
        ("    radio: 5", "line 5: radio should be a block of switches, not '5'."),
        (
            "    connection:\n      arrays: some",
            "line 6: arrays should be one of both, definite, indefinite, not 'some'.",
        ),
        ("    connection: {missing: 0x1008}", "missing should be a list of registers such as [0x1008], or all"),
        ("    connection: {missing: [floor]}", "missing should be a list of registers from 0x0000 to 0xFFFF"),
        ("    connection: {missing: [0x10000]}", "missing should be a list of registers from 0x0000 to 0xFFFF"),
        ("    connection: {acknowledges_writes: 7}", "acknowledges_writes should be yes or no, not '7'."),
        ("    radio: {trailing_bytes: 4}", "trailing_bytes should be a whole number from 0 to 3, not '4'."),
        ("    differs: all", "differs should be a list"),
        ("    sentence: x", "sentence is not known here"),
    ],
)
def test_a_mistake_in_the_table_is_named(text: str, sentence: str) -> None:
    with pytest.raises(ScenarioError) as error:
        read(one(text), "x.yaml")
    assert sentence in str(error.value)


def test_evidence_is_needed() -> None:
    with pytest.raises(ScenarioError, match="evidence is missing"):
        read("personalities: {x: {description: d}}", FILE.name)


# What is advertised


def record(data: bytes | None) -> bytes:
    """Decrypt manufacturer data, whatever its length."""
    assert data
    plain = decrypt(data, DEFAULT_KEY)
    assert plain
    return plain[8:]


def test_the_record_without_a_state_of_charge() -> None:
    device = emulated("owner-2026")
    decrypted = int.from_bytes(record(sent(device.device)[1]), "little")
    assert decrypted >> 90 & 0x3FF == 0x3FF
    assert decrypted >> 24 & 0xFFFF == round(device.bms.voltage * 100)


def test_the_record_with_the_voltage_alone(bench: Bench) -> None:
    device = bench.device()
    device.quirks = RadioQuirks(voltage_only=True)
    assert record(sent(device)[1]) == encode_record(Snapshot(voltage=bench.snapshot.voltage))


def test_beacons_between_the_records(device: EmulatedDevice) -> None:
    device.quirks = RadioQuirks(beacons_between=True)
    heard = [sent(device)[1] for _ in range(6)]
    assert [len(data or b"") for data in heard] == [24, 24, 4, 24, 24, 4]
    assert heard[2] == bytes.fromhex("1000eca3")


def test_the_beacon_alone_with_instant_readout_off(device: EmulatedDevice) -> None:
    device.quirks = RadioQuirks(beacon_without_readout=True)
    assert sent(device)[0] == []
    device.instant_readout_on = False
    assert sent(device) == ([VE_SMART_SERVICE], bytes.fromhex("1000eca3"))
    assert len(device.advertisement().advertising_data) <= 31
    device.quirks = RadioQuirks()
    assert sent(device) == ([], None)


@pytest.mark.parametrize("trailing", [0, 1, 2, 3])
def test_a_longer_record(bench: Bench, trailing: int) -> None:
    device = bench.device()
    device.quirks = RadioQuirks(trailing_bytes=trailing)
    data = sent(device)[1]
    assert len(data or b"") == 24 + trailing
    assert record(data) == encode_record(bench.snapshot) + b"\xff" * trailing
    assert len(device.advertisement().advertising_data) <= 31


def test_an_error_that_nobody_can_name() -> None:
    assert record(sent(emulated("new-firmware").device)[1])[0] == 44
    assert ask("new-firmware", "050081192101") == "080019210141" + "2c"
    assert ask(DEFAULT, "050081192101") == "080019210141" + "00"


# What is answered


def test_a_tenth_field_of_warnings_and_alarms() -> None:
    plain, tenth = ask(DEFAULT, "050081192107"), ask("new-firmware", "050081192107")
    level = [int.from_bytes(bytes.fromhex(answer)[-4:], "little") for answer in (plain, tenth)]
    assert level[1] == level[0] | 2 << 18


def numbers(answer: str, size: int, *, after: int = 0) -> Iterable[int]:
    """Return the number at the end of each payload of this size."""
    stream = bytes.fromhex(answer)
    records = [stream[start : start + 6 + after + size] for start in range(0, len(stream), 6 + after + size)]
    return [int.from_bytes(each[-size:], "little") for each in records]


def agree(coarse: Iterable[int], fine: Iterable[int]) -> bool:
    """Return whether numbers in units of 10 are what others are."""
    return all(abs(one - 10 * other) <= 5 for one, other in zip(fine, coarse, strict=True))


def test_cells_in_millivolts() -> None:
    coarse, fine = (list(numbers(ask(name, "050081190381"), 2, after=2)) for name in (DEFAULT, "new-firmware"))
    assert len(fine) == 16
    assert all(3000 < millivolts < 3650 for millivolts in fine)
    assert agree(coarse, fine)


@pytest.mark.parametrize("register", ["0384", "0385"])
def test_lowest_and_highest_cell_in_millivolts(register: str) -> None:
    coarse, fine = (
        [*numbers(ask(name, f"05008119{register}")[12:], 2, after=-6)] for name in (DEFAULT, "new-firmware")
    )
    assert len(fine) == 2
    assert agree(coarse, fine)


def test_cells_of_a_battery_in_millivolts() -> None:
    (first, *_) = numbers(ask("new-firmware", "0301", "050181190381"), 2, after=2)
    assert 3000 < first < 3650


def test_the_history_in_millivolts() -> None:
    coarse, fine = numbers(ask(DEFAULT, "050081190306"), 4), numbers(ask("ip22", "05009f190306ff"), 4)
    assert agree(coarse, fine)


def test_no_instances_for_the_batteries() -> None:
    assert ask("bank-by-selection", "01") == "029f0000ff"
    assert ask("bank-by-selection", "0301") == "07010302"
    assert len(list(numbers(ask("bank-by-selection", "050081190381"), 2, after=2))) == 16
