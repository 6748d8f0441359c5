"""The package as pip makes it from a checkout: the default variant in it, found without a compiler."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from hakmem import sources, spec


def test_the_wheel_brings_the_default_variant_built(tmp_path: Path) -> None:
    def run(*arguments: str | Path, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            check=False,
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    offline = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    folder = f"--config-settings=build-dir={tmp_path / 'build'}"
    run("pip", "wheel", "--quiet", *offline, folder, "-w", tmp_path, sources.root())
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as held:
        held.extractall(installed)
    found = run(
        *("hakmem", "path", spec.DEFAULT_VARIANT),
        PYTHONPATH=str(installed),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        CXX=str(tmp_path / "no-compiler"),
    )
    library = Path(found)
    assert library.is_file()
    assert library.is_relative_to(installed / "hakmem" / "_builtin" / spec.DEFAULT_VARIANT)
