"""docs/descriptors.md keeps its word: the example runs, every name is explained, the look-ahead is the declared one."""

from __future__ import annotations

import re
from pathlib import Path

from edge_emotion.features.names import FUNCTIONAL_NAMES, LLD_NAMES
from edge_emotion.features.window import LOOK_AHEAD_S

TEXT = (Path(__file__).parents[1] / "docs" / "descriptors.md").read_text()


def test_the_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    scope = {}
    exec(example, scope)
    assert abs(scope["functionals"]["F0semitoneFrom27.5Hz_sma3nz_amean"] - 36) < 0.1
    assert capsys.readouterr().out.strip().endswith("(2, 88)")
    steps = example.split("rate = ")[1].strip().splitlines()
    assert len(steps) + len(re.findall(r"^(?:from|import)", example, re.MULTILINE)) <= 12


def test_every_descriptor_is_in_the_tables():
    plain = {re.sub(r"(mfcc|F)[1-4]", r"\g<1>1", name) for name in LLD_NAMES}
    for name in plain:
        assert f"`{name}`" in TEXT, name
    for name in FUNCTIONAL_NAMES[81:]:
        assert f"`{name}`" in TEXT, name


def test_the_look_ahead_is_the_declared_one():
    least, most = LOOK_AHEAD_S["F0semitoneFrom27.5Hz_sma3nz"]
    assert f"| {least:.2f} to {most:.2f} |" in TEXT
    assert LOOK_AHEAD_S["Loudness_sma3"][1] == 0.01
