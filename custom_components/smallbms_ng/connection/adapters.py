"""Which of the radios near a device to connect by: one that has a bond with it, if that is known."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import re
from typing import Final, Protocol

from bleak import BleakClient
from bleak.backends.device import BLEDevice

# So many attempts in a row may miss every radio with a bond before it is taken to be gone for good: about an hour.
_MOST_MISSES: Final = 5

# In this method Home Assistant's client chooses the radio, given the Bluetooth manager: the one with the best signal
# that has a free slot, with or without a bond. There is no public way to have a say in that. Where there is no such
# method (any more), it chooses as always.
_CHOICE: Final = "_async_get_best_available_backend_and_device"


_BLUEZ_DEVICE: Final = re.compile(r"/org/bluez/([^/]+)/")


class _Radio(Protocol):
    @property
    def source(self) -> str: ...


class _Path(Protocol):
    @property
    def scanner(self) -> _Radio: ...


class _Manager(Protocol):
    """Home Assistant's Bluetooth manager, as far as it is needed here."""

    def async_scanner_devices_by_address(self, address: str, connectable: bool) -> Sequence[_Path]: ...


class AdapterPreference:
    """Has connections to one device made by another radio, once one turned out to have no bond with it.

    unpaired holds the sources of those, paired of those that have one, and asked of the proxies that got through once
    they were asked to encrypt the link, which they have to be on each connection. The unpaired come last, but are still
    tried if no other will do: a bond may be made at any time. Without may_ask, no proxy is asked.
    """

    def __init__(self, unpaired: Iterable[str] = (), *, may_ask: bool = True) -> None:
        self.unpaired = set(unpaired)
        self.paired: set[str] = set()
        self.asked: set[str] = set()
        self._may_ask = may_ask
        self._to_ask: set[str] = set()
        self._proxies: dict[str, str] = {}
        self._tried: set[str] = set()
        self._misses = 0
        self._heard: frozenset[str] = frozenset()
        self._offered: frozenset[str] = frozenset()
        self._used: str | None = None
        self._way: BLEDevice | None = None

    @property
    def adapter(self) -> str | None:
        """The name of the adapter that was chosen last, if it is BlueZ's."""
        return bluez_adapter(self._way)

    @property
    def source(self) -> str | None:
        """The source of the radio in use; None if it is not known."""
        return self._used

    @property
    def proxy(self) -> str | None:
        """The name of the proxy in use, if it is one."""
        return self._proxies.get(self._used or "")

    @property
    def asks(self) -> bool:
        """Whether the radio in use has to be asked to encrypt the link."""
        return self._may_ask and self._used is not None and self._used in self.asked | self._to_ask

    @property
    def was_asked_before(self) -> bool:
        """Whether the radio in use got through once, when it was asked."""
        return self._used in self.asked

    @property
    def used_is_paired(self) -> bool:
        """Whether the radio in use is known to get through, by a bond or because the device wants none."""
        return self._used in self.paired

    @property
    def knows_bond(self) -> bool:
        """Whether one of those that hear the device is known to have a bond."""
        return not self._bonded.isdisjoint(self._heard)

    @property
    def _bonded(self) -> set[str]:
        return self.paired | (self.asked - self.unpaired)

    def ask(self) -> bool:
        """Hear that the link of the radio in use is not encrypted; return whether to ask for that, once."""
        if self.proxy is None or self._used is None or not self._may_ask or self.asks:
            return False
        self._to_ask.add(self._used)
        return True

    def misses_bond(self) -> bool:
        """Hear that no radio in reach has a bond; return whether one that has may be back before long."""
        if not self._bonded or not self._heard or self.knows_bond:
            return False
        self._misses += 1
        return self._misses <= _MOST_MISSES

    def begin(self) -> None:
        """Begin with a new connection, which every radio may be tried for."""
        self._tried.clear()
        self._to_ask.clear()
        self._heard = self._offered = frozenset()
        self._used = None

    def has_bond(self) -> None:
        """Hear that the radio in use has a bond."""
        self._misses = 0
        if self._used:
            self.unpaired.discard(self._used)
            now, otherwise = (self.asked, self.paired) if self.asks else (self.paired, self.asked)
            now.add(self._used)
            otherwise.discard(self._used)

    def has_no_bond(self) -> bool:
        """Hear that the radio in use has no bond; return whether there is another one to try."""
        if self._used is None:
            return False
        self.unpaired.add(self._used)
        self.paired.discard(self._used)
        return self._has_more(self._used)

    def has_no_answer(self) -> bool:
        """Hear that the radio in use may have no bond; return whether there is another one to try."""
        if self._used is None or self._used in self._bonded:
            return False
        return self._has_more(self._used)

    def is_out_of_reach(self) -> bool:
        """Hear that none to choose from gets through; return whether to try those that were left out of the choice."""
        return bool(self._offered) and not self.knows_bond and self._has_more(*self._offered)

    def _has_more(self, *tried: str) -> bool:
        """Note which were tried in vain; return whether others hear the device."""
        self._tried.update(tried)
        self._offered, self._used = frozenset(), None
        return not self._heard <= self._tried

    def steered(self, client_class: type[BleakClient], way: BLEDevice) -> type[BleakClient]:
        """Return a class of client that asks here which radios to choose from; one that cannot goes the given way."""
        self._way = way
        choose: Callable[..., object] | None = getattr(client_class, _CHOICE, None)
        if choose is None:
            return client_class

        def choose_here(client: BleakClient, manager: _Manager, *more: object) -> object:
            chosen = choose(client, _Selection(manager, self._select), *more)
            scanner = getattr(chosen, "scanner", None)
            self._used = getattr(scanner, "source", None)
            self._way = getattr(chosen, "device", None)
            # Only what is not driven from here has a connector.
            if self._used and self.adapter is None and getattr(scanner, "connector", None) is not None:
                self._proxies[self._used] = str(getattr(scanner, "name", self._used))
            return chosen

        return type(client_class.__name__, (client_class,), {_CHOICE: choose_here})

    def _select(self, paths: Sequence[_Path]) -> list[_Path]:
        """Return by which radios to connect, of those that hear the device."""
        self._heard = frozenset(path.scanner.source for path in paths)
        # Another one may have gone meanwhile.
        left = [path for path in paths if path.scanner.source not in self._tried] or list(paths)
        offered = [path for path in left if path.scanner.source not in self.unpaired] or left
        self._offered = frozenset(path.scanner.source for path in offered)
        return offered


def bluez_adapter(way: BLEDevice | None) -> str | None:
    """Return the name of the adapter of this machine on the way to a device; None where that is not BlueZ's."""
    details = way.details if way else None
    path = details.get("path") if isinstance(details, Mapping) else None
    found = _BLUEZ_DEVICE.match(path) if isinstance(path, str) else None
    return found[1] if found else None


class _Selection:
    """A Bluetooth manager that knows of some radios only; all else is the manager's, such as its connection slots."""

    def __init__(self, manager: _Manager, select: Callable[[Sequence[_Path]], list[_Path]]) -> None:
        self._manager = manager
        self._select = select

    def __getattr__(self, name: str) -> object:
        return getattr(self._manager, name)

    def async_scanner_devices_by_address(self, address: str, connectable: bool) -> list[_Path]:
        return self._select(self._manager.async_scanner_devices_by_address(address, connectable))
