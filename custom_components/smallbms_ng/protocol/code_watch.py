"""Which codes have begun and ended: a single odd record raises none, as anybody near can send one."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from .codes import Code


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What has begun and what has ended, in no order."""

    begun: frozenset[Code] = field(default_factory=frozenset)
    ended: frozenset[Code] = field(default_factory=frozenset)

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.begun or self.ended)


class CodeWatch:
    """Follows the codes of one device. A change must stand in two records in a row, or in one read over a connection.

    active: the codes that stand; None before there is anything to compare with. What stands then is not said to begin.
    """

    def __init__(self, active: Iterable[Code] | None = None) -> None:
        """Take the codes that stood when it was last known."""
        self.active: frozenset[Code] | None = None if active is None else frozenset(active)
        self._before: frozenset[Code] | None = None

    @property
    def pending(self) -> bool:
        """Whether the latest record has not been confirmed yet."""
        return self._before is not None and self._before != self.active

    def take(self, codes: Iterable[Code], *, sure: bool = False) -> Changes:
        """Take the codes of a new record and return what changed; sure: it came over a connection."""
        now = frozenset(codes)
        before, self._before = now if sure else self._before, now
        if before is None:
            return Changes()
        if self.active is None:
            self.active = now & before
            return Changes()
        changes = Changes(begun=(now & before) - self.active, ended=self.active - (now | before))
        self.active = (self.active | changes.begun) - changes.ended
        return changes
