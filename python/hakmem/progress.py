"""What a long command says of itself: a bar while it works, and a last line when it is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from .build import Progress


@contextmanager
def shown(errors: Console, first: str, *columns: str | ProgressColumn) -> Iterator[Progress]:
    """A bar, on a terminal only; gives whom to tell how far the work is.

    Behind the bar come ``columns`` (default: the time since it began) and what is being done: ``first``, then
    what is told.
    """
    text = TextColumn("{task.description}", markup=False)
    every = (SpinnerColumn(), BarColumn(bar_width=24), *(columns or [TimeElapsedColumn()]), text)
    with Bar(*every, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(first, total=None)
        yield lambda done, total, text: bar.update(
            task, completed=done, total=total or None, description=text
        )


@contextmanager
def interruptible(errors: Console, kept: str = "what was measured is kept") -> Iterator[None]:
    """Ctrl-C ends the command with exit code 130 and a line that says what is ``kept``."""
    try:
        yield
    except KeyboardInterrupt:
        errors.print(f"interrupted: {kept}; the same command goes on from there")
        raise SystemExit(130) from None
