"""What a device has taught is forgotten when its firmware changes."""

from dataclasses import replace

from custom_components.smallbms_ng.protocol.learned import DeviceMemory, Learned
from custom_components.smallbms_ng.protocol.session import ArrayForm


def test_another_firmware_version_teaches_anew() -> None:
    memory = DeviceMemory()
    memory.learned = replace(
        memory.learned, array_form=ArrayForm.INDEFINITE, chunk_sizes=False, missing=frozenset({(None, 0x0328)})
    )
    memory.note_firmware_version("v1.00")
    memory.note_firmware_version("v1.00")
    assert memory.learned.array_form is ArrayForm.INDEFINITE
    assert memory.learned.missing
    memory.note_firmware_version("v1.01")
    # By this form of arrays the version was just read.
    assert memory.learned == Learned(firmware_version="v1.01", array_form=ArrayForm.INDEFINITE)
