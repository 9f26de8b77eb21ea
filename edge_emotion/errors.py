"""The faults that a user can meet, each with the exit code that the commands end with.

Exit codes, the same for every command: 0 done, 2 usage or configuration, 65 input that cannot be read, 1 anything
else. A message names the thing and the remedy in one line; commands print it without a traceback.
"""

from __future__ import annotations


class EdgeEmotionError(Exception):
    """Base of every expected fault. ``str(error)`` is one line fit for a user."""

    exit_code = 1


class UsageError(EdgeEmotionError):
    """A request that cannot be met as it was put: a bad option, an output folder that cannot be written."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting that is unknown, missing or out of its range; the message gives its dotted path."""


class ProviderError(UsageError):
    """An execution provider or backend that was asked for and is not installed or not available."""


class InputError(EdgeEmotionError):
    """A media file, recording or corpus file that cannot be read."""

    exit_code = 65


class BundleError(InputError):
    """A model bundle that is missing, damaged, unsafe or of an unknown schema."""
