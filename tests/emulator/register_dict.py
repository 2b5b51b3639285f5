"""A box of registers that is a dict."""

from collections.abc import Iterable, Sequence

from emulator.ve_smart.server import Quirks, Refusal

MODE = 0x0200
VOLTAGE = 0xED8D
CURRENT = 0xED8C
LABEL = 0x010C
CELLS = 0x0381
READ_ONLY = {VOLTAGE, CURRENT, CELLS}


class Box:
    """Registers in a dict: one payload each, or several."""

    def __init__(self, *instances: tuple[int, int]) -> None:
        self.pairs = instances or ((0, 0),)
        self.quirks = Quirks()
        self.values: dict[tuple[int, int], tuple[bytes, ...]] = {}
        for instance, _ in self.pairs:
            self.values[instance, MODE] = (b"\x03",)
            self.values[instance, VOLTAGE] = (bytes.fromhex("b809"),)
            self.values[instance, CURRENT] = (bytes.fromhex("c4ffffff"),)
            self.values[instance, LABEL] = (b"x" * 64,)
            self.values[instance, CELLS] = tuple(bytes((0, cell, 0x4A, 0x01)) for cell in range(4))

    def instances(self) -> Sequence[tuple[int, int]]:
        return self.pairs

    def read(self, instance: int, register: int) -> Sequence[bytes] | Refusal:
        return self.values.get((instance, register), Refusal.UNKNOWN)

    def write(self, instance: int, register: int, payload: bytes) -> Refusal | None:
        if (instance, register) not in self.values:
            return Refusal.UNKNOWN
        if register in READ_ONLY:
            return Refusal.READ_ONLY
        if not payload:
            return Refusal.INVALID
        self.values[instance, register] = (payload,)
        return None

    def announced(self, instance: int) -> Iterable[int]:
        return (MODE, VOLTAGE, CELLS) if (instance, MODE) in self.values else ()
