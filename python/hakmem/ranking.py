"""Deciding a race: the noise floor of scores, the tie rule, and which of two variants is the simpler."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import axes, stats
from .spec import Variant


def score_noise(found: stats.Cells, twins: Mapping[str, str], labels: Sequence[str]) -> float:
    """How far the scores of one contestant under two names come apart: the far end of the interval, less 1.

    ``twins`` maps the second name to the first. 0 when no pair shares a round.
    """
    widest = 0.0
    for again, first in twins.items():
        ratio = stats.geometric_mean(found, again, first, labels)
        if ratio:
            widest = max(widest, abs(math.log(ratio.low)), abs(math.log(ratio.high)))
    return math.exp(widest) - 1.0


def simplicity(variant: Variant) -> tuple[int, int, int, int, str]:
    """Sort key that says which of two variants is the simpler one: the smaller.

    In this order: fronts that it is composed of, axes off their default, options off their default, the
    place of its front in the table of axes, its name.
    """
    front = variant.policies["front"]
    fronts = sum(policy.kind != "bypass" for policy in front.walk())
    off_axes = sum(
        policy.kind != axes.AXIS[axis].default for axis, policy in variant.policies if axis != "front"
    )
    off_options = 0
    for axis, outer in variant.policies:
        for policy in outer.walk():
            kind = axes.AXIS[axis].kind(policy.kind)
            assert kind is not None
            off_options += sum(
                option.type != "policy" and policy[option.name] != option.default for option in kind.options
            )
    order = [kind.name for kind in axes.AXIS["front"].kinds]
    return fronts, off_axes, off_options, order.index(front.kind), variant.name


@dataclass(frozen=True)
class Decision:
    """Who won: the fastest, those that tie with it (itself included, the simplest first), and the winner.

    ``winner`` is None when nothing was ranked; ``beats`` is whether the winner's whole interval lies below
    the baseline's time by more than the noise floor.
    """

    fastest: str | None
    tied: tuple[str, ...]
    winner: str | None
    beats: bool


def decide(
    found: stats.Cells, variants: Mapping[str, Variant], baseline: str, floor: float, labels: Sequence[str]
) -> Decision:
    """Rank ``variants`` by the geometric mean of time over ``labels``; within the noise the simpler wins."""
    ranked = stats.ties(found, list(variants), labels, floor)
    if not ranked:
        return Decision(None, (), None, False)
    tied = sorted(ranked, key=lambda name: simplicity(variants[name]))
    score = stats.geometric_mean(found, tied[0], baseline, labels)
    beats = score is not None and score.high < 1.0 / (1.0 + floor)
    return Decision(ranked[0], tuple(tied), tied[0], beats)
