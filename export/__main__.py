"""``python -m export`` in a checkout: the same as ``edge-emotion-export``."""

from edge_emotion_export.cli import main

main()
