"""The report of runs: one HTML page that needs nothing but itself."""

from simulations.report.page import write_report

__all__ = ["write_report"]
