from tests.cli.yukon import reader, yukon

__all__ = ["reader", "yukon"]
