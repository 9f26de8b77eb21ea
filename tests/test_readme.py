"""The README's examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["pipeline", "descriptors"])
def test_the_example_runs_and_prints(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.count("\n") >= 8


def test_the_first_example_has_ten_lines_of_its_own() -> None:
    own = [
        line for line in EXAMPLES[0].splitlines() if line.strip() and not line.startswith(("import", "from"))
    ]
    assert len(own) <= 10


def test_every_linked_file_is_there() -> None:
    root = Path(__file__).parents[1]
    missing = [link for link in re.findall(r"\]\(([^)#:]+)\)", README) if not (root / link).exists()]
    assert not missing
