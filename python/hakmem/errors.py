"""The errors a user can meet. Each is one line: what was wrong and what was expected."""

from __future__ import annotations


class HakmemError(Exception):
    """Root of every error that input or machine can cause; the command line prints it and exits 2."""


class SpecError(HakmemError):
    """A variant or sweep file, or an override, that does not describe a legal variant.

    The text reads ``FILE: key: expected …, got …``.
    """

    def __init__(self, file: str, key: str, expected: str, got: str) -> None:
        self.file = file
        self.key = key
        self.expected = expected
        self.got = got
        super().__init__(f"{file}: {key}: expected {expected}, got {got}")


class BuildError(HakmemError):
    """Building could not start or finish: no compiler, no room, no writable cache, failed compilation."""


class LoadError(HakmemError):
    """A built variant could not be loaded, or is not what its record says it is."""


class UnknownNameError(HakmemError):
    """A variant, sweep, workload or suite that does not exist; the line lists close matches."""

    def __init__(self, what: str, name: str, known: list[str]) -> None:
        import difflib

        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(sorted(known)[:12])}"
        super().__init__(f"{what} {name!r} is not known; {hint}")
