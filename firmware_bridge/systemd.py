"""Words with the service manager: readiness, liveness and a line for humans, as datagrams (sd_notify(3))."""

from __future__ import annotations

import os
import socket


class Notifier:
    """Sends to ``$NOTIFY_SOCKET``; without one every word is dropped.

    Parameters
    ----------
    address
        Path of the socket; a leading ``@`` means the abstract name space.
    """

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET") if address is None else address
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._socket = (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        )
        if self._socket:
            self._socket.setblocking(False)  # a service manager that does not listen must not hold us up

    def send(self, *words: str) -> None:
        """Send assignments such as ``READY=1``; a word that cannot be delivered is lost."""
        if self._socket and self._address:
            try:
                self._socket.sendto("\n".join(words).encode(), self._address)
            except OSError:
                return

    def close(self) -> None:
        """Close the socket."""
        if self._socket:
            self._socket.close()
            self._socket = None


def watchdog_s() -> float | None:
    """The time within which the service manager wants to hear from this process, or None where it does not care."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        period_s = int(os.environ["WATCHDOG_USEC"]) / 1e6
    except (KeyError, ValueError):
        return None
    return period_s if period_s > 0 else None
