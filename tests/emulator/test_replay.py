"""The device of a recording: what it advertises, what it answers, and files that have no recording."""

import json
from pathlib import Path
from typing import Final

import pytest

from emulator.__main__ import main
from emulator.device import DEFAULT_KEY
from emulator.recording import parse_recording
from emulator.replay.device import ReplayedDevice
from emulator.replay.server import ReplaySession
from emulator.ve_smart.cbor_records import Value, ValueResponse, answers
from emulator.ve_smart.chunks import Channel

from .recordings import advertisement, connection, download, frame, recording, survey

KEY_STAND_IN: Final = bytes(15) + b"\x01"
READ: Final = "050082190200190328"
WHOLE: Final = download(
    recording(
        advertisements=[advertisement("1002eca30a0500" + "00" + "11" * 16)],
        connections=[
            connection(
                frame("in", "read", "control", "00040001de4a00"),
                frame("out", "write", "last_data", "01"),
                frame("in", "notify", "last_data", "029f00000100ff"),
                frame("out", "write", "last_data", READ),
                frame("in", "notify", "data", "0800190200"),
                frame("in", "notify", "last_data", "410309001903280a"),
                frame("out", "write", "last_data", "05008119ec65"),
                frame("in", "notify", "last_data", "080019ec6550" + KEY_STAND_IN.hex()),
                frame("out", "write", "last_data", "06008219100241" + "05"),
                frame("in", "notify", "last_data", "0900191002" + "03"),
            )
        ],
        survey=survey(
            {"instance": 0, "register": "0x0380", "value": "02040102"},
            {"instance": 0, "register": "0x0381", "silent": True},
            {"instance": 0, "register": "0x0382", "code": 7},
            {"instance": 0, "register": "0x0383", "code": 7},
            {"instance": 0, "register": "0x0384", "code": 7},
        ),
    )
)


class Central:
    """A central that holds the link of a replayed device."""

    mtu = 23
    lost = False

    def __init__(self, device: ReplayedDevice) -> None:
        self.heard: list[tuple[Channel, bytes]] = []
        self.session: ReplaySession = device.service.serve(self)  # type: ignore[arg-type]  # what is used of a link
        self.session.write(Channel.CONTROL, b"\xf9\x80")
        self.heard.clear()

    def notify(self, channel: Channel, data: bytes) -> None:
        """Hear something."""
        self.heard.append((channel, data))

    def disconnect(self) -> None:
        """Lose the link."""
        self.lost = True

    def ask(self, request: str) -> bytes:
        """Return the stream that answers a request."""
        self.heard.clear()
        self.session.write(Channel.LAST_DATA, bytes.fromhex(request))
        return b"".join(data for channel, data in self.heard if channel is not Channel.CONTROL)


def replayed(text: str = WHOLE) -> ReplayedDevice:
    return ReplayedDevice(parse_recording(text, "x.json"), clock=lambda: 0)


@pytest.fixture
def central() -> Central:
    return Central(replayed())


def test_the_same_to_the_same_request(central: Central) -> None:
    assert central.session.read_control().hex() == "00040001de4a00"
    assert central.ask("01").hex() == "029f00000100ff"
    assert central.ask(READ).hex() == "0800190200410309001903280a"
    assert central.ask(READ).hex() == "0800190200410309001903280a"


def test_each_register_by_itself(central: Central) -> None:
    """Also those of which only the survey tells."""
    (mode,) = answers(central.ask("050081190200"))
    assert mode[0] == Value(instance=0, register=0x0200, payload=b"\x03")
    (refused,) = answers(central.ask("050081190328"))
    assert refused[0] == ValueResponse(instance=0, register=0x0328, code=10)
    (bank,) = answers(central.ask("050081190380"))
    assert bank[0] == Value(instance=0, register=0x0380, payload=bytes.fromhex("02040102"))
    assert central.ask("050081190381") == b"", "the device was silent"


def test_what_is_not_known_is_refused_as_the_device_did(central: Central) -> None:
    (refused,) = answers(central.ask("050081193333"))
    assert refused[0] == ValueResponse(instance=0, register=0x3333, code=7)


def test_the_new_key(central: Central) -> None:
    for request in ("05008119ec65", "05009f19ec65ff"):
        ((key, _),) = answers(central.ask(request))
        assert key == Value(instance=0, register=0xEC65, payload=DEFAULT_KEY)


def test_writes(central: Central) -> None:
    assert central.ask("06008219020041" + "04") == b""
    (mode,) = answers(central.ask("050081190200"))
    assert mode[0] == Value(instance=0, register=0x0200, payload=b"\x04")
    assert b"\x41\x04" in central.ask(READ), "not what it said before"
    (refused,) = answers(central.ask("06008219100241" + "06"))
    assert refused[0] == ValueResponse(instance=0, register=0x1002, code=3)


def test_what_is_never_written(central: Central) -> None:
    (refused,) = answers(central.ask("06008219ec1041" + "06"))
    assert refused[0] == ValueResponse(instance=0, register=0xEC10, code=3)


def test_an_unknown_record(central: Central) -> None:
    central.ask("0a00")
    assert (Channel.CONTROL, b"\xf7\x03\x00") in central.heard


def test_chunk_sizes_that_end_the_connection() -> None:
    learned = json.loads(WHOLE)
    learned["data"]["recording"]["learned"] = {"chunk_sizes": False, "array_form": "indefinite"}
    central = Central(replayed(json.dumps(learned)))
    central.session.write(Channel.CONTROL, b"\xfa\x80\xff")
    assert central.lost


@pytest.mark.parametrize("outcome", ["believed", "held_back"])
def test_a_record_is_encrypted_with_the_new_key_if_it_is_known(outcome: str) -> None:
    heard = advertisement("1002eca30a0500" + "00" + "11" * 16, outcome, decrypted=outcome == "believed")
    device = replayed(download(recording(advertisements=[heard])))
    sent = device.advertisement().joined
    assert b"\x11" * 16 not in sent
    assert (bytes.fromhex("1002eca30a0500") + DEFAULT_KEY[:1] in sent) is (outcome == "believed")


def test_nothing_was_advertised() -> None:
    assert bytes.fromhex("1000eca3") in replayed(download(recording())).advertisement().joined


@pytest.mark.parametrize(
    "text",
    [
        "",
        WHOLE[:-300],
        "[]",
        '{"home_assistant": {}}',
        download(recording(), domain="victron_ble"),
        download({**recording(), "format": 2}),
        download(None),
        WHOLE.replace('"believed"', '"beleived"'),
        WHOLE.replace("1002eca3", "1002ecg3"),
        '{"integration_manifest": {"domain": "smallbms_ng"}, "data": {"pages": null}}',
    ],
)
def test_a_file_without_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    file = tmp_path / "download.json"
    file.write_text(text, encoding="utf-8")
    assert main(["--replay", str(file), "--port", "0"]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert output.err.startswith("download.json ")
    assert output.err.endswith(".\n")


@pytest.mark.parametrize(
    "option",
    [
        ("--scenario", "winter"),
        ("--personality", "mppt"),
        ("--speed", "60"),
        ("--save", "x"),
        ("--fault", "frozen"),
        ("--panel",),
        ("--seed", "1"),
        ("--no-state-of-charge",),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, ...]
) -> None:
    file = tmp_path / "download.json"
    file.write_text(WHOLE, encoding="utf-8")
    assert main(["--replay", str(file), *option]) == 2
    assert option[0] in capsys.readouterr().err
