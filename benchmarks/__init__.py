"""`make bench`: what the peer's work costs, beside a peer tool that does the same bytes.

Figures are ratios of CPU-seconds measured in one run, so that they hold on another machine. A ratio
above its limit in `limits.toml` is a regression. How to read them: docs/benchmarks.md.
"""
