"""pystac reads a static catalogue: `python static_catalogue.py CATALOG.json`.

Run by an interpreter that has it. Prints how many documents are valid, and the ids of the items.
"""

import sys

from pystac import Catalog

catalog = Catalog.from_file(sys.argv[1])
ids = sorted(item.id for item in catalog.get_items(recursive=True))
sys.stdout.write(f"{catalog.validate_all()} {' '.join(ids)}\n")
