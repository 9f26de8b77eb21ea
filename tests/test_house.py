"""The house itself: what is packaged, what is promised in one place and kept in another."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked() -> list[Path]:
    """Files of the checkout; of the tree where there is no git."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_every_package_folder_is_in_the_explicit_list() -> None:
    names = {
        "edge_emotion": "edge_emotion",
        "firmware_bridge": "firmware_bridge",
        "export": "edge_emotion_export",
    }
    found = {
        ".".join([names[folder], *init.parent.relative_to(ROOT / folder).parts])
        for folder in names
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("module", ["edge_emotion.cli", "firmware_bridge.cli", "edge_emotion.pipeline"])
def test_the_device_never_loads_the_workstations_packages(module: str) -> None:
    program = (
        f"import sys, {module}; "
        "print([m for m in ('torch', 'sklearn', 'onnx', 'skl2onnx', 'edge_emotion_export') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("program", ["edge_emotion.cli", "firmware_bridge.cli", "edge_emotion_export.cli"])
def test_help_names_the_exit_codes(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"from {program} import main; main()", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
    )
    assert "65 input that cannot be read" in done.stdout


@pytest.mark.parametrize("program", ["edge_emotion.cli", "firmware_bridge.cli", "edge_emotion_export.cli"])
def test_an_unknown_option_is_a_usage_fault_without_a_traceback(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"from {program} import main; main()", "--no-such-option"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_no_file_speaks_of_a_registry_host_or_of_the_machine_it_was_written_on() -> None:
    forbidden = re.compile(
        "|".join(["pypi" + r"\.org", "files" + r"\.pythonhosted", "/wo" + "rk/", "/ro" + "ot/"])
    )
    kinds = {".py", ".md", ".toml", ".json", ".yaml", ".yml", ".service", ".conf", ".c", ".h", ""}
    guilty = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in tracked()
        if path.suffix in kinds and (found := forbidden.search(path.read_text(errors="ignore")))
    ]
    assert not guilty


def test_no_data_set_is_committed() -> None:
    images = [
        p for p in tracked() if p.suffix in {".webp", ".jpg", ".jpeg", ".flac", ".mp4", ".mov", ".mpg", ".pt"}
    ]
    assert not images


def test_the_default_bundle_is_small() -> None:
    folder = ROOT / "edge_emotion" / "bundles" / "default"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 12e6
