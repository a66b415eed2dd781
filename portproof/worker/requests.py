"""What a worker answers: the parts of a request, each of which becomes OUT_DIR/<part>.json.

Starting a framework takes seconds; a tool that asks several times keeps the process.

A request holds `port` (a file) or `network` (MODULE:CALLABLE and arguments), `settings` of the
port, and for each part what it takes. What a part takes and records stands at its function, called
record_<part>: of networks and weights in networks.py, of the loader in data.py, of the port's own
training in training.py.
"""

import importlib
import inspect
import json
import os
import select
import sys
import traceback
from pathlib import Path
from typing import Any

from portproof import port as contract
from portproof.system import memory
from portproof.system.errors import UserError
from portproof.worker import data, networks, training
from portproof.worker.job import Job
from portproof.worker.port_file import PortFile


def record_about(job: Job) -> dict[str, Any]:
    """Return the functions that the port defines, and the settings that it takes."""
    names = [name for name, _ in inspect.getmembers(contract, inspect.isfunction)]
    functions = [name for name in names if job.port.has(name)]
    return {"functions": functions, "settings": job.port.usual()}


# Reading comes first: a network may be fitted to the file that it writes.
PARTS = {
    name.removeprefix("record_"): function
    for module in (networks, data, training)
    for name, function in vars(module).items()
    if name.startswith("record_")
} | {"about": record_about}


IDLE = 3  # seconds


class Worker:
    """Answers requests in one framework; the port file is run at the first that names it."""

    def __init__(self, framework: str) -> None:
        self.backend = importlib.import_module(f"portproof.backends.{framework}")
        self.port: PortFile | None = None

    def serve(self) -> None:
        """Answer the requests on standard input, one after the other, until it ends.

        A line is a JSON list, [REQUEST.json, OUT_DIR]; the reply is a line of JSON on standard
        output, {"error": null}, or {"error": text, "is_users": bool}. Whatever else is printed
        meanwhile goes to standard error.
        """
        memory.keep_freed()
        replies = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        while True:
            # A tool may keep several workers, of which one works at a time: one that is not asked
            # for a while gives its freed memory back. The next request has the kernel clear it.
            if not select.select([sys.stdin], [], [], IDLE)[0]:
                memory.give_back()
            line = sys.stdin.readline()
            if not line:
                return
            request, folder = map(Path, json.loads(line))
            reply = self.reply(json.loads(request.read_text()), folder)
            print(json.dumps(reply), file=replies, flush=True)

    def reply(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Answer a request; return what to say of it."""
        try:
            self.answer(request, folder)
        except UserError as error:
            return {"error": str(error), "is_users": True}
        except SystemExit:  # of the parser of options
            return {"error": "a wrong option in the request", "is_users": True}
        except Exception as error:
            traceback.print_exc()
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return {"error": text, "is_users": False}
        return {"error": None}

    def answer(self, request: dict[str, Any], folder: Path) -> None:
        """Record the parts of a request into `folder`. Raises UserError at a user's mistake."""
        if request.get("port") and self.port is None:
            self.port = PortFile(Path(request["port"]))
        job = Job(self.backend, folder, self.port, request["settings"], request["network"])
        for part, record in PARTS.items():
            if part in request:
                report = record(job, **request[part])
                (folder / f"{part}.json").write_text(json.dumps(report, default=str))
