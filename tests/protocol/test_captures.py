"""Real bytes: other products are told from ours, the decryption is that of real devices, and so is a record."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
import pytest
from victron_ble.devices import detect_device_type
from victron_ble.devices.lynx_smart_bms import LynxSmartBMS, LynxSmartBMSData

from custom_components.smallbms_ng.protocol.advertisement import (
    ImplausibleRecord,
    InstantReadout,
    OtherRecord,
    is_smallbms_ng,
)
from custom_components.smallbms_ng.protocol.codes import Level

from .captures import ADVERTISEMENTS, LYNX_SMART_BMS, Advertisement
from .packer import KEY, THRESHOLDS, advertise, pack

captures = pytest.mark.parametrize("capture", ADVERTISEMENTS, ids=lambda capture: capture.source)


@captures
def test_another_product_is_refused_as_such(capture: Advertisement) -> None:
    with pytest.raises(OtherRecord, match=f"0x{capture.record_type:02x}"):
        InstantReadout(capture.key).decode(capture.data)
    assert not is_smallbms_ng(capture.data)


@captures
def test_the_captures_and_the_test_packer_agree(capture: Advertisement) -> None:
    """What the packer writes is what real devices send: header, place of the nonce, key byte, encryption."""
    assert capture.data == advertise(
        capture.plaintext,
        key=capture.key,
        nonce=capture.nonce,
        product_id=capture.product_id,
        second=capture.data[1],
        record_type=capture.record_type,
    )


@captures
def test_a_record_in_the_stead_of_the_captured_one(capture: Advertisement) -> None:
    """With the header of a real device and the key stream of its real key our record is read."""
    counter = capture.data[5:7] + bytes(14)
    key_stream = Cipher(algorithms.AES(capture.key), modes.CTR(counter)).encryptor().update(bytes(16))
    captured_stream = bytes(a ^ b for a, b in zip(capture.data[8:], capture.plaintext, strict=True))
    assert key_stream.startswith(captured_stream)

    record = pack(voltage=1337, low_soc=2)
    encrypted = bytes(a ^ b for a, b in zip(record, key_stream, strict=True))
    data = capture.data[:4] + b"\x0a" + capture.data[5:8] + encrypted
    reading = InstantReadout(capture.key).decode(data)

    assert reading.record_bytes == record
    assert reading.nonce == capture.nonce
    assert reading.product_id == capture.product_id
    assert reading.voltage == 13.37
    assert LynxSmartBMS(capture.key.hex()).decrypt(data)[:16] == record


@captures
def test_the_captured_bytes_as_if_they_were_our_record(capture: Advertisement) -> None:
    """With our record type they decrypt to the published plaintext, which as a record of ours makes no sense."""
    data = (capture.data[:4] + b"\x0a" + capture.data[5:]).ljust(24, b"\0")
    peer = LynxSmartBMS(capture.key.hex())
    assert peer.decrypt(data).startswith(capture.plaintext)
    theirs = peer.parse(data)
    assert isinstance(theirs, LynxSmartBMSData)

    with pytest.raises(ImplausibleRecord) as refused:
        InstantReadout(capture.key).decode(data)
    nonsense = {f"voltage is {theirs.get_voltage()}", f"consumed_amphours is -{theirs.get_consumed_ah()}"}
    assert str(refused.value) in nonsense


def test_the_only_published_record() -> None:
    reading = InstantReadout(KEY).decode(advertise(LYNX_SMART_BMS))

    assert reading.record_bytes == LYNX_SMART_BMS
    assert reading.error == 0
    assert reading.time_to_go == 14400
    assert reading.voltage == 26.99
    assert reading.current == -0.6
    assert reading.state_of_charge == 99.5
    assert reading.consumed_amphours == -4.4
    assert reading.temperature is None
    assert reading.contactor_closed is True
    assert reading.allowed_to_charge is True
    assert reading.allowed_to_discharge is True
    assert reading.user_relay is False
    assert reading.aux_output is True
    assert reading.remote_on is True
    assert reading.alternator_allowed_to_charge is True
    not_supported = {"battery_communication", "low_bank_voltage", "high_temperature"}
    assert {name: getattr(reading, name) for name in THRESHOLDS} == {
        name: None if name in not_supported else Level.OK for name in THRESHOLDS
    }
    assert reading.codes == ()


def test_the_published_record_is_what_its_publisher_reads() -> None:
    data = advertise(LYNX_SMART_BMS)
    device = detect_device_type(data)

    assert device is LynxSmartBMS
    assert device(KEY.hex()).decrypt(data)[:16] == LYNX_SMART_BMS
