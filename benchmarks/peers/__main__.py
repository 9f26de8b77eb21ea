"""``python -m benchmarks.peers [NAME...]``: build the environments of the peers."""

import sys

from benchmarks.peers import PROGRAMS, build

for name, reason in build(sys.argv[1:] or list(PROGRAMS)).items():
    print(f"{name:12} {'ready' if reason is None else reason}")
