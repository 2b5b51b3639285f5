"""Reads and writes the registers of one smallBMS NG over Bluetooth."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
import logging
from typing import Final, Self, TypeGuard

from bleak import BleakClient
from bleak.backends.device import BLEDevice
import bleak_retry_connector

from ..protocol.learned import DeviceMemory, Learned
from ..protocol.payloads import Value
from ..protocol.registers import BatterySource, Name, Register, battery_sources, expected_payloads, main_instance, named
from ..protocol.session import (
    OK,
    ArrayForm,
    Opcode,
    ReceivedValue,
    RefusalReason,
    batches,
    get_values,
    set_values,
    subscribe,
)
from .adapters import AdapterPreference
from .bluez import bond_is_refused, has_bond
from .errors import (
    BadAnswer,
    BondRefused,
    EmptyNotifications,
    Lost,
    NoAnswer,
    NoSlot,
    NotPaired,
    NotReachable,
    ProxyHasNoPin,
    Refused,
    ServicesMoved,
    VeSmartError,
    WrongPin,
    asking_proxy,
    connected,
    connecting,
)
from .link import Answer, LatestPayloads, Link, OnValue, PendingResponse, Reading, Refusal, Silence, Timing
from .recorder import Recorder

_LOGGER = logging.getLogger(__name__)

# Connection attempts in a row, within the time limit. An immediate failure is worth another attempt: BlueZ may report
# success before it shows the device as connected, which bleak takes for a lost connection.
_ATTEMPTS: Final = 4
# How many times the keep-alive is renewed within its time.
_RENEWALS: Final = 3
_BANK: Final = named(Name.BANK)[0]
_FIRMWARE_VERSION: Final = named(Name.FIRMWARE_VERSION)[0]
_KEY: Final = named(Name.INSTANT_READOUT_KEY)[0]
# How many bytes more a request may have in the other form of arrays.
_LONGER_BY: Final = 1
# A link may be lost by chance: that the device drops it is believed the second time in a row.
_DROPS_ON_CHUNK_SIZES: Final = 2
_NO_ANSWER: Final = "the device is connected but does not answer"


class VeSmartClient:
    """Connects to one device, reads and writes.

    get_device: returns the device to connect to, or None if no radio reaches it.
    client_class: None uses the one that bleak_retry_connector has at the time.
    on_value: called with every value received, requested or not.
    pair: whether connecting pairs, which needs an agent that knows the PIN.
    preference: which radios have a bond; the others are tried last.
    recorder: keeps the latest connections.
    memory: what the device has taught; updated with what it teaches.
    instances: the instances of the device, once connected.

    Operations may be called from several tasks and run one after the other. All raise VeSmartError.
    """

    def __init__(
        self,
        get_device: Callable[[], BLEDevice | None],
        *,
        name: str = "smallBMS NG",
        client_class: type[BleakClient] | None = None,
        timing: Timing | None = None,
        on_value: OnValue | None = None,
        pair: bool = False,
        preference: AdapterPreference | None = None,
        recorder: Recorder | None = None,
        memory: DeviceMemory | None = None,
    ) -> None:
        self._get_device = get_device
        self._name = name
        self._client_class = client_class
        self._timing = timing or Timing()
        self._on_value = on_value
        self._pair = pair
        self._preference = preference or AdapterPreference()
        self._recorder = recorder or Recorder()
        self._memory = memory or DeviceMemory()
        self._lock = asyncio.Lock()
        self._client: BleakClient | None = None
        self._link: Link | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._bank: Mapping[str, object] = {}
        self._latest = LatestPayloads()
        self._address = ""
        # Whether the adapter in use has a bond; None if that is unknown.
        self._adapter_is_bonded: bool | None = None
        # The adapter whose bond the device probably refused at the last attempt.
        self._suspected_adapter: str | None = None
        # How many connections in a row worked only without chunk sizes.
        self._drops = 0
        self.instances: tuple[int, ...] = ()

    @property
    def connected(self) -> bool:
        """Whether there is a usable connection."""
        return self._link is not None and self._link.alive

    @property
    def main_instance(self) -> int:
        """The instance of the device as a whole, once connected."""
        return main_instance(self.instances)

    @property
    def batteries(self) -> tuple[BatterySource, ...]:
        """Where each battery of the bank is read, once connected."""
        return battery_sources(self.main_instance, self.instances)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.disconnect()

    async def connect(self) -> None:
        """Connect, unless there is a connection."""
        async with self._lock:
            if self.connected:
                return
            await self._end()
            await self._connect_by_any_radio()

    async def disconnect(self) -> None:
        """End the connection, if there is one. Raises no VeSmartError."""
        async with self._lock:
            await self._end()

    async def read(self, instance: int, registers: Iterable[int]) -> dict[int, Answer]:
        """Return the answer of each register, with as few requests as possible.

        A value that the device sends by itself after its answer replaces that answer.
        """
        async with self._operation() as link:
            self._latest.forget()
            answers = await self._read(link, instance, tuple(dict.fromkeys(registers)))
            return {register: self._latest.of(instance, answer) for register, answer in answers.items()}

    async def write(
        self,
        instance: int,
        register: Register,
        value: Value,
        *,
        system_voltage: int | None = None,
        finer: bool = False,
    ) -> Reading:
        """Write a register, read it back, and return the reading.

        Raises Refused if the device does not accept the value. Raises PayloadError, before anything is sent, if the
        value is outside the limits at the system voltage (in V), or the register is never written. finer: the register
        is in mV.
        """
        payload = register.encode(value, system_voltage, finer=finer)
        async with self._operation() as link:
            await self._prepare_write(link, instance)
            await link.send(set_values(instance, {register.id: payload}, self._memory.learned.array_form))
            for pause in self._timing.read_back:
                await asyncio.sleep(pause)
                answer = (await self._read(link, instance, (register.id,)))[register.id]
                if _proves(answer, register, payload):
                    return answer
            raise Refused(register.id, None)

    async def act(self, instance: int, action: Register) -> bool:
        """Carry out an action; return whether the device acknowledged it. Raises Refused.

        A device that acknowledges nothing may have carried it out too.
        """
        payload = action.encode(None)
        async with self._operation() as link:
            await self._prepare_write(link, instance)
            await link.send(set_values(instance, {action.id: payload}, self._memory.learned.array_form))
            code = await link.outcome(instance, Opcode.SET_VALUES, action.id)
            if code is None:
                await self._check(link)
            if code:
                raise Refused(action.id, code)
            return code == OK

    async def _connect_by_any_radio(self) -> None:
        """Connect with one radio after the other, until one has a bond. Raises VeSmartError."""
        self._preference.begin()
        errors: list[VeSmartError] = []
        while (error := await self._try_to_connect()) is not None:
            errors.append(error)
            if not self._may_try_another(error):
                raise self._most_useful(errors)
        self._preference.note_bond()

    async def _try_to_connect(self) -> VeSmartError | None:
        """Connect; return the error, or None if it worked."""
        try:
            await self._connect_and_adapt()
        except VeSmartError as error:
            await self._end()
            return await self._more_precise(error)
        except BaseException:
            await self._end()
            raise
        return None

    def _may_try_another(self, error: VeSmartError) -> bool:
        """Return whether another radio may succeed. A refused PIN is wrong for every radio."""
        match error:
            case WrongPin():
                return False
            case NoAnswer():
                return self._preference.note_no_answer()
            case NotPaired():
                return self._preference.note_no_bond()
            case NotReachable():
                return self._preference.note_out_of_reach()
        return False

    def _most_useful(self, errors: Sequence[VeSmartError]) -> VeSmartError:
        """Return the error to raise: a missing bond rather than a radio that is out of reach."""
        last = errors[-1]
        if not isinstance(last, NotReachable | NotPaired) or isinstance(last, WrongPin):
            return last
        if isinstance(last, NotReachable) and self._preference.knows_bond:
            return last
        not_paired = [error for error in errors if isinstance(error, NotPaired)]
        useful = min(not_paired, key=_usefulness, default=last)
        if isinstance(useful, NotPaired) and _is_missing_bond(useful) and self._preference.note_bond_out_of_reach():
            return NotReachable("the radio that has a bond does not hear the device")
        return useful

    async def _more_precise(self, error: VeSmartError) -> VeSmartError:
        """Return a more precise error if BlueZ knows more: whether the adapter in use has a bond."""
        if self._preference.requests_encryption and type(error) is NotPaired:
            return ProxyHasNoPin("the link is encrypted, but not with the PIN", self._preference.proxy or "")
        adapter = self._preference.adapter
        if adapter is None or isinstance(error, WrongPin | NoSlot):
            return error
        if isinstance(error, NotReachable):
            return await self._refused_bond(adapter) or error
        if isinstance(error, NoAnswer | Lost) and self._adapter_is_bonded is False and not self._preference.is_paired:
            return NotPaired(f"{adapter} has no bond with the device")
        if isinstance(error, NotPaired) and _is_missing_bond(error) and self._adapter_is_bonded:
            return BondRefused("the device has lost the bond", adapter)
        return error

    async def _refused_bond(self, adapter: str) -> BondRefused | None:
        """Return an error if the device refuses the bond of an adapter. A mere suspicion must come up twice."""
        refused = await bond_is_refused(self._address, adapter)
        suspected, self._suspected_adapter = self._suspected_adapter == adapter, adapter if refused is None else None
        if refused or (suspected and refused is None):
            return BondRefused("the device refuses the bond", adapter)
        return None

    async def _connect_and_adapt(self) -> None:
        """Connect. If it fails in a way that some devices do, try it again as those need it, and remember what worked.

        Raises VeSmartError.
        """
        before = self._memory.learned
        try:
            await self._connect_adapting()
        except BaseException:
            self._memory.learned = before
            raise
        if before.chunk_sizes:
            self._count_drops()

    async def _connect_adapting(self) -> None:
        adapted_to: set[type[VeSmartError]] = set()
        while True:
            try:
                await self._connect()
            except VeSmartError as error:
                adapted = None if type(error) in adapted_to else self._adapted(error)
                if adapted is None:
                    raise
                adapted_to.add(type(error))
            else:
                return
            await self._end()
            self._memory.learned = adapted

    def _count_drops(self) -> None:
        """Believe that the device drops the link on chunk sizes only once it has done so often enough."""
        learned = self._memory.learned
        self._drops = 0 if learned.chunk_sizes else self._drops + 1
        if self._drops < _DROPS_ON_CHUNK_SIZES:
            self._memory.learned = replace(learned, chunk_sizes=True)

    def _adapted(self, error: VeSmartError) -> Learned | None:
        """Return what to assume for another attempt to connect; None if none is worth it."""
        learned = self._memory.learned
        match error:
            case ServicesMoved():
                return learned
            case EmptyNotifications():
                return replace(learned, acquire_notifications=not learned.acquire_notifications)
            case Lost() if self._link and self._link.was_lost_while_opening:
                return replace(learned, chunk_sizes=not learned.chunk_sizes)
            case NoAnswer() if not learned.chunk_sizes:
                return replace(learned, chunk_sizes=True)
        return None

    async def _connect(self) -> None:
        with connecting(pair=self._pair):
            async with asyncio.timeout(self._timing.connect):
                self._client = client = await self._establish()
        adapter = self._preference.adapter
        self._adapter_is_bonded = await has_bond(self._address, adapter) if adapter else None
        try:
            async with asyncio.timeout(self._opening_time):
                with connected():
                    await self._open(client)
        except TimeoutError as error:
            # bluetoothd delays its answer for a minute if it cannot make the bond that the device requires.
            raise self._no_answer() from error
        self._suspected_adapter = None

    @property
    def _opening_time(self) -> float:
        return self._timing.opening_without_bond if self._adapter_is_bonded is False else self._timing.opening

    async def _establish(self) -> BleakClient:
        if (device := self._get_device()) is None:
            raise NotReachable("no radio reaches the device")
        self._address = device.address
        # Looked up now, because Home Assistant replaces the class.
        client_class = self._client_class or bleak_retry_connector.BleakClientWithServiceCache
        preferring = self._preference.client_class_for(client_class, device)
        return await bleak_retry_connector.establish_connection(
            self._recorder.recorded(preferring, self._preference),
            device,
            self._name,
            disconnected_callback=self._disconnected,
            max_attempts=_ATTEMPTS,
            pair=self._pair,
        )

    async def _open(self, client: BleakClient) -> None:
        self._link = link = Link(client, self._timing, self._received, self._memory)
        await self._open_link(link, client)
        self.instances = await self._check(link)
        await self._subscribe(link, self.main_instance)
        self._renewal = asyncio.create_task(self._keep_alive(link), name=f"keep-alive of {self._name}")

    async def _open_link(self, link: Link, client: BleakClient) -> None:
        """Open the link. A proxy that holds the PIN must be asked to encrypt it, on each connection."""
        if not self._preference.requests_encryption:
            try:
                with connected():
                    await link.open()
            except NotPaired:
                if not self._preference.note_not_encrypted():
                    raise
            else:
                return
        with asking_proxy(self._preference.proxy or "", worked_before=self._preference.encrypted_before):
            async with asyncio.timeout(self._timing.pairing):
                await client.pair()
        await link.open()

    async def _subscribe(self, link: Link, instance: int) -> None:
        """Subscribe to an instance. If that fails, so does the first read."""
        await link.send(subscribe(instance))
        with suppress(BadAnswer):
            await link.outcome(instance, Opcode.SUBSCRIBE)
        link.subscribed.add(instance)

    async def _check(self, link: Link) -> tuple[int, ...]:
        """Return the instances, which every device gives. Raises NoAnswer."""
        devices = await link.ask_for_devices()
        if devices is None and not (link.has_answered or link.gets_empty_notifications):
            # Some device swallows the first request of a connection.
            devices = await link.ask_for_devices()
        if devices is None:
            raise self._no_answer()
        return devices.instances

    def _no_answer(self) -> NoAnswer:
        """Return the error for a device that does not answer."""
        is_empty = self._link is not None and self._link.gets_empty_notifications
        return EmptyNotifications("notifications arrive empty") if is_empty else NoAnswer(_NO_ANSWER)

    async def _end(self) -> None:
        client, self._client, self._link = self._client, None, None
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None
        if client is None:
            return
        try:
            with connected():
                async with asyncio.timeout(self._timing.disconnect):
                    await client.disconnect()
        except asyncio.CancelledError:
            # The next disconnect tries again.
            self._client = client
            raise
        except VeSmartError as error:
            _LOGGER.debug("%s: cannot disconnect: %s", self._name, error)

    def _disconnected(self, client: BleakClient) -> None:
        if self._link is not None and client is self._client:
            self._link.end()

    async def _keep_alive(self, link: Link) -> None:
        """Renew the keep-alive until the connection ends."""
        with suppress(VeSmartError), connected():
            while link.alive:
                await asyncio.sleep(self._timing.keep_alive / _RENEWALS)
                await link.renew()

    def _received(self, value: ReceivedValue) -> None:
        self._latest.take(value)
        if value.register == _BANK.id:
            self._remember_bank(value.payload)
        if self._on_value is not None:
            self._on_value(value)

    def _remember_bank(self, payload: bytes) -> None:
        with suppress(ValueError):
            bank = _BANK.decode(payload)
            self._bank = bank if isinstance(bank, Mapping) else {}

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[Link]:
        """Yield the link to one operation at a time. Raises VeSmartError."""
        async with self._lock:
            if self._link is None or not self._link.alive:
                raise Lost("not connected")
            self._link.forget()
            with connected():
                async with asyncio.timeout(self._timing.operation):
                    yield self._link

    async def _read(self, link: Link, instance: int, registers: tuple[int, ...]) -> dict[int, Answer]:
        answers: dict[int, Answer] = {}
        form = self._memory.learned.array_form
        room = link.session.largest_request - len(self._preface(link, instance))
        # A request that may have to be repeated in the other form has to fit in that too.
        spare = 0 if link.has_answered else _LONGER_BY
        for batch in batches(instance, registers, room - spare, form):
            answers |= await self._ask(link, instance, batch)
        if _is_refused_by_value(answers.get(_KEY.id)):
            answers |= await self._ask_for_key(link, instance)
        return answers

    def _preface(self, link: Link, instance: int) -> bytes:
        """Return the subscription to put in front of the first request for an instance; empty if it is not needed."""
        return b"" if instance in link.subscribed or not link.joins_records else subscribe(instance)

    async def _ask(self, link: Link, instance: int, registers: tuple[int, ...]) -> dict[int, Answer]:
        preface = self._preface(link, instance)
        if not preface and instance not in link.subscribed:
            await self._subscribe(link, instance)
        form = self._memory.learned.array_form
        pending = await self._request(link, instance, registers, form, preface=preface)
        link.subscribed.add(instance)
        if preface and not pending.begun:
            link.joins_records = False
            await self._subscribe(link, instance)
        answers = pending.answers()
        for again in _forms_to_try(link, pending, form, joined=bool(preface)):
            pending = await self._request(link, instance, tuple(pending.unanswered), again)
            answers |= pending.answers()
            if pending.begun:
                break
        if pending.unanswered and pending.problem:
            raise BadAnswer(pending.problem)
        if not pending.begun:
            await self._check(link)
        return answers

    async def _request(
        self,
        link: Link,
        instance: int,
        registers: tuple[int, ...],
        form: ArrayForm,
        *,
        preface: bytes = b"",
        flagged: bool = False,
    ) -> PendingResponse:
        whole_bank = instance == self.main_instance
        expected = {one: expected_payloads(one, self._bank, whole_bank=whole_bank) for one in registers}
        pending = PendingResponse(instance, registers, expected)
        await link.send(preface + get_values(instance, registers, form, flagged=flagged))
        await link.collect(pending)
        if pending.begun:
            await self._note_answer(link, form)
        return pending

    async def _note_answer(self, link: Link, form: ArrayForm) -> None:
        """Note that a request in this form was answered. The first one begins the keep-alive."""
        self._memory.learned = replace(self._memory.learned, array_form=form)
        if not link.has_answered:
            link.has_answered = True
            await link.renew()

    async def _ask_for_key(self, link: Link, instance: int) -> dict[int, Answer]:
        """Return the key if the device gives it to the opcode 0x25, having refused it to the usual one."""
        pending = await self._request(link, instance, (_KEY.id,), self._memory.learned.array_form, flagged=True)
        found = pending.answers()[_KEY.id]
        if not isinstance(found, Reading):
            return {}
        self._memory.learned = replace(self._memory.learned, flagged_key_request=True)
        return {_KEY.id: found}

    async def _prepare_write(self, link: Link, instance: int) -> None:
        """Read something, unless that has worked on this connection: a first request may be lost, or need another form.

        A write that is lost could not be told from one that the device accepts without an answer.
        """
        if not link.has_answered:
            await self._ask(link, instance, (_FIRMWARE_VERSION.id,))


def _forms_to_try(link: Link, pending: PendingResponse, form: ArrayForm, *, joined: bool) -> tuple[ArrayForm, ...]:
    """Return in which forms of arrays to ask again for what is unanswered, until there is an answer.

    A first request that is silently lost is repeated, which may be the first one in the right form.
    """
    if not pending.unanswered:
        return ()
    if not pending.begun and not link.has_answered:
        return (form.other, form.other, form) if pending.is_rejected else (form, form.other, form.other)
    if not pending.begun and pending.is_rejected:
        return form, form.other
    return (form,) if pending.problem or (joined and not pending.begun) else ()


def _is_refused_by_value(answer: Answer | None) -> bool:
    return isinstance(answer, Refusal) and answer.reason is RefusalReason.VALUE


def _proves(answer: Answer, register: Register, wanted: bytes) -> TypeGuard[Reading]:
    """Return whether an answer confirms a write. Raises Refused if reading again is pointless."""
    if isinstance(answer, Silence):
        raise Refused(register.id, None)
    if isinstance(answer, Refusal) and not answer.transient:
        raise Refused(register.id, answer.code)
    return isinstance(answer, Reading) and any(register.confirms(wanted, found) for found in answer.payloads)


def _usefulness(error: NotPaired) -> int:
    """Return the place of an error in the order of usefulness to an owner, best first."""
    if isinstance(error, ProxyHasNoPin):
        return 3
    if type(error) is NotPaired:
        return 2
    return int(_is_missing_bond(error))


def _is_missing_bond(error: NotPaired) -> bool:
    """Return whether the bond is certainly missing. A device that does not answer may have other reasons."""
    return not isinstance(error, NoAnswer)
