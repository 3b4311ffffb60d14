"""An object store that speaks S3, by moto, in memory.

Run by an interpreter that has moto: `python object_store_app.py FOLDER`. Writes the port it listens
on into FOLDER/port.
"""

import sys
import threading
from pathlib import Path

from moto.server import ThreadedMotoServer

FOLDER = Path(sys.argv[1])

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
_, port = server.get_host_and_port()
part = FOLDER / "port.part"
part.write_text(str(port))
part.rename(FOLDER / "port")
threading.Event().wait()
