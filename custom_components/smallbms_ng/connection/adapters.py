"""Which of the radios near a device to connect with: preferably one that has a bond with it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import re
from typing import Final, Protocol

from bleak import BleakClient
from bleak.backends.device import BLEDevice

# After this many attempts in a row (about an hour) a bonded radio that no longer hears the device is given up.
_MOST_MISSES: Final = 5

# In this method, Home Assistant's client chooses the radio: the one with the best signal and a free slot, whether or
# not it has a bond. No public interface influences that choice. If a later version lacks the method, its choice stands.
_CHOOSE_METHOD: Final = "_async_get_best_available_backend_and_device"


_BLUEZ_DEVICE: Final = re.compile(r"/org/bluez/([^/]+)/")


class _Radio(Protocol):
    @property
    def source(self) -> str: ...


class _Path(Protocol):
    @property
    def scanner(self) -> _Radio: ...


class _Manager(Protocol):
    """The part of Home Assistant's Bluetooth manager that is used here."""

    def async_scanner_devices_by_address(self, address: str, connectable: bool) -> Sequence[_Path]: ...


class AdapterPreference:
    """Remembers which radios have a bond with one device, and prefers them for connections.

    unpaired: sources of the radios without a bond. They are tried last: a bond may be made at any time.
    paired: sources of the radios that got through by themselves.
    asked: sources of the proxies that got through after a request to encrypt the link, which each connection needs.
    may_request_encryption: whether a proxy may be asked to encrypt.
    """

    def __init__(self, unpaired: Iterable[str] = (), *, may_request_encryption: bool = True) -> None:
        self.unpaired = set(unpaired)
        self.paired: set[str] = set()
        self.asked: set[str] = set()
        self._may_request_encryption = may_request_encryption
        self._to_request: set[str] = set()
        self._proxies: dict[str, str] = {}
        self._tried: set[str] = set()
        self._misses = 0
        self._heard: frozenset[str] = frozenset()
        self._offered: frozenset[str] = frozenset()
        self._used: str | None = None
        self._path: BLEDevice | None = None

    @property
    def adapter(self) -> str | None:
        """The name of the last chosen adapter; None if BlueZ does not drive it."""
        return bluez_adapter(self._path)

    @property
    def source(self) -> str | None:
        """The source of the radio in use; None if it is not known."""
        return self._used

    @property
    def proxy(self) -> str | None:
        """The name of the proxy in use; None if no proxy is used."""
        return self._proxies.get(self._used or "")

    @property
    def requests_encryption(self) -> bool:
        """Whether the radio in use must be asked to encrypt the link."""
        return self._may_request_encryption and self._used is not None and self._used in self.asked | self._to_request

    @property
    def encrypted_before(self) -> bool:
        """Whether the radio in use has encrypted a link to the device before."""
        return self._used in self.asked

    @property
    def is_paired(self) -> bool:
        """Whether the radio in use has got through before: it has a bond, or the device requires none."""
        return self._used in self.paired

    @property
    def knows_bond(self) -> bool:
        """Whether a radio that hears the device is known to have a bond."""
        return not self._bonded.isdisjoint(self._heard)

    @property
    def _bonded(self) -> set[str]:
        return self.paired | (self.asked - self.unpaired)

    def note_not_encrypted(self) -> bool:
        """Note that the link is not encrypted; return whether to ask the proxy in use for that, once a connection."""
        if self.proxy is None or self._used is None or not self._may_request_encryption or self.requests_encryption:
            return False
        self._to_request.add(self._used)
        return True

    def note_bond_out_of_reach(self) -> bool:
        """Note that no radio in reach has a bond; return whether to wait for one that has."""
        if not self._bonded or not self._heard or self.knows_bond:
            return False
        self._misses += 1
        return self._misses <= _MOST_MISSES

    def begin(self) -> None:
        """Begin a new connection attempt: every radio may be tried again."""
        self._tried.clear()
        self._to_request.clear()
        self._heard = self._offered = frozenset()
        self._used = None

    def note_bond(self) -> None:
        """Note that the radio in use has a bond."""
        self._misses = 0
        if self._used:
            self.unpaired.discard(self._used)
            now, otherwise = (self.asked, self.paired) if self.requests_encryption else (self.paired, self.asked)
            now.add(self._used)
            otherwise.discard(self._used)

    def note_no_bond(self) -> bool:
        """Note that the radio in use has no bond; return whether there is another radio to try."""
        if self._used is None:
            return False
        self.unpaired.add(self._used)
        self.paired.discard(self._used)
        return self._has_more(self._used)

    def note_no_answer(self) -> bool:
        """Note that the device did not answer, perhaps for want of a bond; return whether to try another radio."""
        if self._used is None or self._used in self._bonded:
            return False
        return self._has_more(self._used)

    def note_out_of_reach(self) -> bool:
        """Note that no offered radio gets through; return whether to try the radios that were held back."""
        return bool(self._offered) and not self.knows_bond and self._has_more(*self._offered)

    def _has_more(self, *tried: str) -> bool:
        """Note which radios failed; return whether others hear the device."""
        self._tried.update(tried)
        self._offered, self._used = frozenset(), None
        return not self._heard <= self._tried

    def client_class_for(self, client_class: type[BleakClient], device: BLEDevice) -> type[BleakClient]:
        """Return a client class that chooses among the preferred radios only; device is what it falls back to."""
        self._path = device
        choose: Callable[..., object] | None = getattr(client_class, _CHOOSE_METHOD, None)
        if choose is None:
            return client_class

        def choose_here(client: BleakClient, manager: _Manager, *more: object) -> object:
            chosen = choose(client, _Selection(manager, self._select), *more)
            scanner = getattr(chosen, "scanner", None)
            self._used = getattr(scanner, "source", None)
            self._path = getattr(chosen, "device", None)
            # Only remote scanners have a connector.
            if self._used and self.adapter is None and getattr(scanner, "connector", None) is not None:
                self._proxies[self._used] = str(getattr(scanner, "name", self._used))
            return chosen

        return type(client_class.__name__, (client_class,), {_CHOOSE_METHOD: choose_here})

    def _select(self, paths: Sequence[_Path]) -> list[_Path]:
        """Return the preferred radios among those that hear the device."""
        self._heard = frozenset(path.scanner.source for path in paths)
        # The untried ones may have gone meanwhile.
        left = [path for path in paths if path.scanner.source not in self._tried] or list(paths)
        offered = [path for path in left if path.scanner.source not in self.unpaired] or left
        self._offered = frozenset(path.scanner.source for path in offered)
        return offered


def bluez_adapter(device: BLEDevice | None) -> str | None:
    """Return the name of the local adapter on the path to a device; None if BlueZ does not drive it."""
    details = device.details if device else None
    path = details.get("path") if isinstance(details, Mapping) else None
    found = _BLUEZ_DEVICE.match(path) if isinstance(path, str) else None
    return found[1] if found else None


class _Selection:
    """A Bluetooth manager that lists only selected radios. Everything else, such as slots, is the real manager's."""

    def __init__(self, manager: _Manager, select: Callable[[Sequence[_Path]], list[_Path]]) -> None:
        self._manager = manager
        self._select = select

    def __getattr__(self, name: str) -> object:
        return getattr(self._manager, name)

    def async_scanner_devices_by_address(self, address: str, connectable: bool) -> list[_Path]:
        return self._select(self._manager.async_scanner_devices_by_address(address, connectable))
