"""The worker's side of a peer: plain Python, run by the peer's own interpreter, one JSON line in, one out.

The first line carries the fixtures; each later line names a call, which is made and timed here, in the peer's own
process. Peers print to standard output as they like: the answers go to a copy of it that was taken first.
"""

import json
import os
import sys
import time


def serve(prepare):
    """Answer until the input ends; ``prepare(fixtures)`` returns the calls by name."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    calls = prepare(json.loads(sys.stdin.readline()))
    print(json.dumps({"calls": sorted(calls)}), file=answers)
    for line in sys.stdin:
        call = calls[json.loads(line)["call"]]
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        call()
        taken = {"cpu_ns": time.process_time_ns() - cpu, "wall_ns": time.perf_counter_ns() - wall}
        print(json.dumps(taken), file=answers)
