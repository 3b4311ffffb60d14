from __future__ import annotations

from tests.cli.yukon import reader, yukon

__all__ = ["reader", "yukon"]
