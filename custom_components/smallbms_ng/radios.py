"""Which of the radios near a device to connect by: one that has a bond with it, if that is known."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from bleak import BleakClient

# In this method Home Assistant's client chooses the radio, given the Bluetooth manager: the one with the best signal
# that has a free slot, with or without a bond. There is no public way to have a say in that. Where there is no such
# method (any more), it chooses as always.
_CHOICE: Final = "_async_get_best_available_backend_and_device"


class _Radio(Protocol):
    @property
    def source(self) -> str: ...


class _Path(Protocol):
    @property
    def scanner(self) -> _Radio: ...


class _Manager(Protocol):
    """Home Assistant's Bluetooth manager, as far as it is needed here."""

    def async_scanner_devices_by_address(self, address: str, connectable: bool) -> Sequence[_Path]: ...


class Radios:
    """Has connections to one device made by another radio, once one turned out to have no bond with it.

    unpaired holds the sources of those. They come last, but are still tried if no other will do: a bond may be made at
    any time.
    """

    def __init__(self, unpaired: Iterable[str] = ()) -> None:
        self.unpaired = set(unpaired)
        self._tried: set[str] = set()
        self._heard: frozenset[str] = frozenset()
        self._used: str | None = None

    def begin(self) -> None:
        """Begin with a new connection, which every radio may be tried for."""
        self._tried.clear()
        self._used = None

    def paired(self) -> None:
        """Hear that the radio in use has a bond."""
        if self._used:
            self.unpaired.discard(self._used)

    def not_paired(self) -> bool:
        """Hear that the radio in use has no bond; return whether there is another one to try."""
        if self._used is None:
            return False
        self.unpaired.add(self._used)
        self._tried.add(self._used)
        self._used = None
        return not self._heard <= self._tried

    def steered(self, client_class: type[BleakClient]) -> type[BleakClient]:
        """Return a class of client that asks here which radios to choose from."""
        choose: Callable[..., object] | None = getattr(client_class, _CHOICE, None)
        if choose is None:
            return client_class

        def choose_here(client: BleakClient, manager: _Manager, *more: object) -> object:
            chosen = choose(client, _Selection(manager, self._select), *more)
            self._used = getattr(getattr(chosen, "scanner", None), "source", None)
            return chosen

        return type(client_class.__name__, (client_class,), {_CHOICE: choose_here})

    def _select(self, paths: Sequence[_Path]) -> list[_Path]:
        """Return by which radios to connect, of those that hear the device."""
        self._heard = frozenset(path.scanner.source for path in paths)
        left = [path for path in paths if path.scanner.source not in self._tried]
        return [path for path in left if path.scanner.source not in self.unpaired] or left


class _Selection:
    """A Bluetooth manager that knows of some radios only; all else is the manager's, such as its connection slots."""

    def __init__(self, manager: _Manager, select: Callable[[Sequence[_Path]], list[_Path]]) -> None:
        self._manager = manager
        self._select = select

    def __getattr__(self, name: str) -> object:
        return getattr(self._manager, name)

    def async_scanner_devices_by_address(self, address: str, connectable: bool) -> list[_Path]:
        return self._select(self._manager.async_scanner_devices_by_address(address, connectable))
