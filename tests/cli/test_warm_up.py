"""``edge-emotion warm-up`` as a user meets it."""

from __future__ import annotations

import re

from edge_emotion.cli import app, run


def test_it_counts_and_names_the_kernels(capsys):
    assert run.run(app, "edge-emotion", ["warm-up", "--verbose"]) == 0
    *names, total = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ of \d+ kernels compiled in \d+\.\d s, \d+ from the cache", total)
    assert any(re.fullmatch(r"trellis\.search: (compiled|cached)", line) for line in names)
    assert run.run(app, "edge-emotion", ["warm-up"]) == 0
    assert capsys.readouterr().out.startswith("0 of ")
