# A virtual environment with packages from local wheels, used and taken away again.
set -eu
"$HAKMEM_PYTHON" -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check --no-index --find-links "$HAKMEM_WHEELS" pytest rich
venv/bin/python -m pip list --disable-pip-version-check --format=freeze
printf 'import pytest\n@pytest.mark.parametrize("n", range(300))\ndef test_n(n):\n    assert n * "a" == "a" * n\n' > test_n.py
venv/bin/python -m pytest -q -p no:cacheprovider test_n.py | grep -o '300 passed'
venv/bin/python -m pip uninstall --quiet --yes pytest rich
venv/bin/python -m pip list --disable-pip-version-check --format=freeze
