"""Inventories: tables or folders of data files, from which items are made.

Only the command line reads them, as the maintainer.
"""
