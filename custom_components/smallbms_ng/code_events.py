"""Tells whoever listens which codes have begun and ended."""

from collections.abc import Callable, Iterable, Sequence

from homeassistant.core import CALLBACK_TYPE, callback

from .protocol.code_watch import CodeWatch
from .protocol.codes import Code

type CodeListener = Callable[[Code, bool], None]
"""Called with a code and whether it has begun; else it has ended."""


class CodeEvents:
    """The codes of one device that stand, over restarts too."""

    def __init__(self) -> None:
        self._watch = CodeWatch()
        self._listeners: list[CodeListener] = []
        self._watchers: list[Callable[[], None]] = []

    @property
    def active(self) -> tuple[Code, ...] | None:
        """The codes that stand, the worst first; None while that is not known."""
        return None if self._watch.active is None else _sorted(self._watch.active)

    @property
    def pending(self) -> bool:
        """Whether the latest reading has codes that are not confirmed yet, or lacks some that stand."""
        return self._watch.pending

    def restore(self, codes: Sequence[str] | None) -> None:
        """Take the codes that stood when the previous run ended; None if that is not known."""
        try:
            self._watch = CodeWatch(None if codes is None else map(Code.parse, codes))
        except AttributeError, TypeError, ValueError:
            self._watch = CodeWatch()

    @callback
    def async_add_listener(self, listener: CodeListener) -> CALLBACK_TYPE:
        """Call a listener for every code that begins or ends; return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @callback
    def async_add_watcher(self, watcher: Callable[[], None]) -> CALLBACK_TYPE:
        """Call a watcher once others stand than before, or it is known which; return what ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    @callback
    def async_take(self, codes: Iterable[Code], *, sure: bool = False) -> bool:
        """Take the codes of a new reading, sure: over a connection; return whether others stand than before.

        What has ended is told first, so that the last that is told of a warning which becomes an alarm is the alarm.
        """
        before = self._watch.active
        changes = self._watch.take(codes, sure=sure)
        self._tell(changes.ended, begun=False)
        self._tell(changes.begun, begun=True)
        return self._watch.active != before

    @callback
    def async_tell_watchers(self) -> None:
        """Tell that others stand, when all that follows from that is known too."""
        for watcher in self._watchers:
            watcher()

    @callback
    def _tell(self, codes: Iterable[Code], *, begun: bool) -> None:
        """Tell the worst last."""
        for code in reversed(_sorted(codes)):
            for listener in self._listeners:
                listener(code, begun)


def _sorted(codes: Iterable[Code]) -> tuple[Code, ...]:
    return tuple(sorted(codes, key=lambda code: code.rank))
