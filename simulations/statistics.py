"""Means of a few runs with their confidence intervals.

Each seed is one independent sample of a random world. Means have Student's t with n - 1 degrees of
freedom; shares of runs have Wilson's score interval, which is right for a handful of runs and near
0 and 1. Two settings that ran with the same seeds are compared by their differences seed by seed;
otherwise by Welch's method. Owns no notion of what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, fmean, stdev, variance

CONFIDENCE = 0.95
T_MAX = 1e6  # above the quantile for one degree of freedom at any confidence below 0.999999


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean of `count` samples; one sample has no interval, so `low` and `high` are None."""

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def excludes_zero(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def mean_interval(samples: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of at least one sample, with its interval."""
    count = len(samples)
    if count == 1:
        return Interval(samples[0], None, None, 1)
    error = stdev(samples) / math.sqrt(count)
    return _around(fmean(samples), t_quantile(count - 1, confidence) * error, count)


def share_interval(samples: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Return the share of ones among zeros and ones, with its score interval (Wilson 1927)."""
    count, share = len(samples), fmean(samples)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    scale = 1 + z**2 / count
    centre = (share + z**2 / (2 * count)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), count)


def paired_difference(
    before: Sequence[float], after: Sequence[float], confidence: float = CONFIDENCE
) -> Interval:
    """Return the mean of `after - before`, sample by sample."""
    return mean_interval([b - a for a, b in zip(before, after, strict=True)], confidence)


def welch_difference(
    before: Sequence[float], after: Sequence[float], confidence: float = CONFIDENCE
) -> Interval:
    """Return the difference of two means of unequal variance (Welch 1947).

    The degrees of freedom are rounded down, which widens the interval a little.
    """
    difference = fmean(after) - fmean(before)
    count = min(len(before), len(after))
    if count == 1:
        return Interval(difference, None, None, 1)
    shares = [variance(samples) / len(samples) for samples in (before, after)]
    total = sum(shares)
    if total == 0:
        return _around(difference, 0.0, count)
    sizes = (len(before), len(after))
    spread = sum(share**2 / (size - 1) for share, size in zip(shares, sizes, strict=True))
    freedom = max(1, math.floor(total**2 / spread))
    return _around(difference, t_quantile(freedom, confidence) * math.sqrt(total), count)


@cache
def t_quantile(freedom: int, confidence: float) -> float:
    """Return t with P(|T| < t) = confidence, for whole degrees of freedom, by bisection."""
    low, high = 0.0, T_MAX
    while high - low > 1e-10 * max(1.0, low):
        middle = (low + high) / 2
        if _within(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _within(t: float, freedom: int) -> float:
    """Return P(|T| < t): Abramowitz and Stegun 26.7.3 (odd) and 26.7.4 (even)."""
    theta = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (theta + sine * total) if odd else sine * total


def _around(mean: float, half: float, count: int) -> Interval:
    return Interval(mean, mean - half, mean + half, count)
