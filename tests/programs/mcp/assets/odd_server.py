"""MCP servers as they should not be, by argument: ``silent``, ``ends``, ``schema``, ``stubborn``."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

KIND = sys.argv[1]
SCHEMA = {"type": "object", "properties": {"x": {"type": "no such type"}}}


def answer(request: dict[str, object], **what: object) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], **what}) + "\n")
    sys.stdout.flush()


if KIND == "ends":
    sys.exit("there is no such database")
if KIND == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ["NOTES"]).write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
for line in sys.stdin:
    message = json.loads(line)
    if KIND == "silent" or "id" not in message:
        continue
    if message["method"] == "initialize":
        about = {"name": "odd", "version": "1"}
        version = message["params"]["protocolVersion"]
        answer(
            message, result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
        )
    elif message["method"] == "tools/list":
        schema = SCHEMA if KIND == "schema" else {"type": "object"}
        answer(message, result={"tools": [{"name": "odd.one", "inputSchema": schema}]})
    else:
        answer(message, error={"code": -32601, "message": "no such method"})
time.sleep(600 if KIND == "stubborn" else 0)
