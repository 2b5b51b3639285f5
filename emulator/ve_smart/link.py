"""VE.Smart on the links of the emulated device: each link gets a server with its timers."""

import asyncio

from emulator.device import VeSmartLink
from emulator.ve_smart.server import Channel, Quirks, RegisterBox, VeSmartServer


class VeSmartSession:
    """One VE.Smart session over one link; made inside a running event loop.

    The keep-alive runs by the event loop's clock whatever the speed of the simulation, as the central's does.
    """

    def __init__(self, link: VeSmartLink, box: RegisterBox, quirks: Quirks) -> None:
        self._link = link
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self.server = VeSmartServer(box, self._notify, mtu=link.mtu, quirks=quirks, clock=self._loop.time)
        self._timer = self._loop.call_at(self.server.next_deadline, self._tick)

    def read_control(self) -> bytes:
        """Return what reading Control gives."""
        self.server.mtu = self._link.mtu
        return self.server.read_control()

    def write(self, channel: Channel, data: bytes) -> None:
        """Take what the central wrote."""
        self.server.mtu = self._link.mtu
        self.server.write(channel, data)
        self._set_timer()

    def closed(self) -> None:
        """Hear that the link has ended."""
        self._closed = True
        self._timer.cancel()

    def _notify(self, channel: Channel, data: bytes) -> None:
        self._link.notify(channel, data)

    def _tick(self) -> None:
        if self.server.wants_disconnect:
            self._link.disconnect()
            return
        self.server.tick()
        self._set_timer()

    def _set_timer(self) -> None:
        # The central may have ended the link after a notification.
        if self._closed:
            return
        self._timer.cancel()
        self._timer = self._loop.call_at(self.server.next_deadline, self._tick)


class VeSmartService:
    """Makes the sessions of one device; serve is what the device calls for every link.

    box is what the next session serves. session is the latest one, so that whoever watches the device can ask how its
    central behaved.
    """

    def __init__(self, box: RegisterBox, quirks: Quirks | None = None) -> None:
        self.box = box
        self._quirks = quirks or Quirks()
        self.session: VeSmartSession | None = None

    @property
    def quirks(self) -> Quirks:
        """How the device behaves. A change also affects the present link."""
        return self._quirks

    @quirks.setter
    def quirks(self, quirks: Quirks) -> None:
        self._quirks = quirks
        if self.session is not None:
            self.session.server.quirks = quirks

    def serve(self, link: VeSmartLink) -> VeSmartSession:
        """Begin the session of a link."""
        self.session = VeSmartSession(link, self.box, self._quirks)
        return self.session
