"""Tells whoever listens which codes have begun and ended."""

from collections.abc import Callable, Iterable, Sequence

from homeassistant.core import CALLBACK_TYPE, callback

from . import clock
from .protocol.codes import Code, code_changes, worst_first
from .storage import ToldEvent

type CodeListener = Callable[[Code, bool], None]
"""Called with a code and whether it has begun; else it has ended."""


class CodeEvents:
    """The codes of one device that are active, over restarts too.

    active: those that were told, the worst first; None before any are known. What is active then is not told.
    last_event: what the event entity told last.
    """

    def __init__(self) -> None:
        self.active: tuple[Code, ...] | None = None
        self.last_event: ToldEvent | None = None
        self._since: dict[tuple[bool, int], float] = {}
        self._listeners: list[CodeListener] = []
        self._watchers: list[CALLBACK_TYPE] = []

    def restore(self, codes: Sequence[Code] | None, last_event: ToldEvent | None) -> None:
        """Take what was told when the previous run ended; None if that is not known."""
        self.active = None if codes is None else worst_first(codes)
        self.last_event = last_event
        self._note_since()

    def since(self, code: Code) -> float | None:
        """Return since when what a code speaks of has been so in this run, in s of the monotonic clock.

        None: it is not so now. A warning that becomes an alarm speaks of the same.
        """
        return self._since.get(code.subject) if code in (self.active or ()) else None

    def _note_since(self) -> None:
        now = clock.now()
        self._since = {code.subject: self._since.get(code.subject, now) for code in self.active or ()}

    @callback
    def async_add_listener(self, listener: CodeListener) -> CALLBACK_TYPE:
        """Call a listener for every code that begins or ends; return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @callback
    def async_add_watcher(self, watcher: CALLBACK_TYPE) -> CALLBACK_TYPE:
        """Call a watcher once others are active than before, or it is known which; return what ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    @callback
    def async_take(self, codes: Iterable[Code]) -> bool:
        """Take the codes that are active now; return whether they are others than before.

        What has ended is told first, so that the last that is told of a warning which becomes an alarm is the alarm.
        """
        before, self.active = self.active, worst_first(codes)
        self._note_since()
        changes = code_changes(before or (), self.active)
        if before is not None:
            self._tell(changes.ended, begun=False)
            self._tell(changes.begun, begun=True)
        return self.active != before

    @callback
    def async_tell_watchers(self) -> None:
        """Tell that others are active, when all that follows from that is known too."""
        for watcher in list(self._watchers):
            watcher()

    @callback
    def _tell(self, codes: Iterable[Code], *, begun: bool) -> None:
        for code in codes:
            for listener in list(self._listeners):
                listener(code, begun)
