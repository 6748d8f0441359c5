"""``python -m hakmem`` is the command ``hakmem``."""

from .cli import main

main()
