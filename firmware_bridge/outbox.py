"""What waits to be sent to the broker: finite queues that drop the oldest, and a table where the latest message wins.

Any thread fills it and never waits; the thread of the connection empties it.
"""

from __future__ import annotations

import threading
from collections import deque

LIVE_QUEUE = 64

Message = tuple[str, bytes]
"""Topic and body."""


class Outbox:
    """Live readings, answers and retained messages.

    Attributes
    ----------
    live, answers
        Queues of messages at QoS 0 and 1.
    dropped
        Messages that gave way to newer ones, by the queue's name.
    """

    def __init__(self) -> None:
        self.live: deque[Message] = deque(maxlen=LIVE_QUEUE)
        self.answers: deque[Message] = deque(maxlen=LIVE_QUEUE)
        self.dropped = {"live": 0, "answers": 0}
        self._retained: dict[str, bytes] = {}
        self._changed: dict[str, None] = {}  # an ordered set of topics
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._changed or self.live or self.answers)

    def add_live(self, topic: str, body: bytes) -> None:
        """Queue a reading; the oldest of a full queue is dropped."""
        self.dropped["live"] += len(self.live) == LIVE_QUEUE
        self.live.append((topic, body))

    def add_answer(self, topic: str, body: bytes) -> None:
        """Queue an answer; the oldest of a full queue is dropped."""
        self.dropped["answers"] += len(self.answers) == LIVE_QUEUE
        self.answers.append((topic, body))

    def retain(self, topic: str, body: bytes) -> None:
        """Keep the broker's message of ``topic`` at ``body``."""
        with self._lock:
            self._retained[topic] = body
            self._changed[topic] = None

    def resend(self, topic: str) -> None:
        """Send the retained message of ``topic`` once more, if there is one."""
        with self._lock:
            if topic in self._retained:
                self._changed[topic] = None

    def resend_all(self, *first: str) -> None:
        """Send every retained message once more, those of the topics ``first`` before the others."""
        with self._lock:
            self._changed = dict.fromkeys((*first, *self._retained))

    def take_retained(self) -> Message | None:
        """The retained message that has waited longest."""
        with self._lock:
            if not self._changed:
                return None
            topic = next(iter(self._changed))
            del self._changed[topic]
            return topic, self._retained[topic]
