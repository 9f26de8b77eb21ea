"""Commands from outside: what is accepted, and what is said of the rest. A bad command changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from edge_emotion.errors import UsageError
from firmware_bridge.messages import COMMAND_LIMIT_BYTES, VERBS


class CommandError(UsageError):
    """A command that is not obeyed; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is in order."""

    verb: str
    arguments: BaseModel

    @property
    def id(self) -> str | None:
        """The sender's mark, for the response."""
        return getattr(self.arguments, "id", None)


def parse(verb: str, body: bytes, *, retained: bool = False) -> Command:
    """The command in a message.

    Parameters
    ----------
    verb
        Last part of the topic.
    body
        JSON object of the arguments; empty for none.
    retained
        Whether the broker had kept the message: such a command would come again at every connection, and is refused.

    Raises
    ------
    CommandError
        When it is too long, retained, unknown, no JSON object, or has arguments that are unknown or out of range.
    """
    if verb not in VERBS:
        raise CommandError(f"unknown command; known are {', '.join(VERBS)}")
    if retained:
        raise CommandError("retained commands are not obeyed; send it without the retain flag")
    if len(body) > COMMAND_LIMIT_BYTES:
        raise CommandError(f"longer than {COMMAND_LIMIT_BYTES} bytes")
    try:
        return Command(verb, VERBS[verb].model_validate_json(body or b"{}"))
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        path = ".".join(str(part)[:64] for part in fault["loc"])
        said = "unknown argument" if fault["type"] == "extra_forbidden" else fault["msg"]
        raise CommandError(f"{path}: {said}" if path else said) from None


def response(
    verb: str, mark: str | None, *, error: str | None = None, result: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The answer to a command as ``edge_emotion.response/1``."""
    return {
        "schema": "edge_emotion.response/1",
        "verb": verb,
        "id": mark,
        "ok": error is None,
        "error": error,
        "result": result,
    }
