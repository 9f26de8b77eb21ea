"""Continuous estimates of expressed arousal and valence from sound and pictures.

The library has no device, network or wall clock: it is handed blocks and frames with time stamps and hands back
readings.
"""

__version__ = "0.1.0"
