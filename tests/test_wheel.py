"""The package as pip makes it from a checkout: the default variant in it, found where nothing can be built."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from hakmem import sources, spec


def test_the_wheel_brings_the_default_variant_built(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", f"--config-settings=build-dir={tmp_path / 'build'}"]
    made = subprocess.run(
        [*command, "-w", tmp_path, sources.root()], cwd=tmp_path, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr[-3000:]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as held:
        held.extractall(tmp_path / "installed")
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "installed"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "CXX": str(tmp_path / "no-compiler"),
    }
    found = subprocess.run(
        [sys.executable, "-m", "hakmem", "path", spec.DEFAULT_VARIANT],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    folder = tmp_path / "installed" / "hakmem" / "_builtin" / spec.DEFAULT_VARIANT
    library = Path(found.stdout.strip())
    assert library.is_file() and library.is_relative_to(folder)
