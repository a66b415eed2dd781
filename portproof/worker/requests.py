"""What a worker answers: the parts of a request, each of which becomes <part>.json.

A request holds `port` (a file) or `network` (MODULE:CALLABLE and arguments), `settings` of the
port, and for each part what it takes: the arguments of its function, record_<part>.
"""

import inspect
import json
import os
import select
import sys
import traceback
from pathlib import Path
from typing import Any

from portproof import port as contract
from portproof.backends import choose
from portproof.system import memory
from portproof.system.errors import UserError
from portproof.worker import data, networks, training
from portproof.worker.job import Job
from portproof.worker.port_file import PortFile
from portproof.worker.source import Report


def record_about(job: Job) -> Report:
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
        choose(framework)
        self.port: PortFile | None = None

    def serve(self) -> None:
        """Answer the requests on standard input, one after the other, until it ends.

        A line names a folder, in JSON; so is the reply on standard output, a line of what reply()
        returns. Whatever else is printed goes to standard error.
        """
        memory.keep_freed()
        replies = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        while True:
            # One of several workers that a tool keeps: idle, it gives its freed memory back.
            if not select.select([sys.stdin], [], [], IDLE)[0]:
                memory.give_back()
            line = sys.stdin.readline()
            if not line:
                return
            reply = self.reply(Path(json.loads(line)))
            print(json.dumps(reply), file=replies, flush=True)

    def reply(self, folder: Path) -> tuple[str | None, bool]:
        """Answer a request; return its error if there is one, and whether it is the user's."""
        try:
            self.answer(json.loads((folder / "request.json").read_text()), folder)
        except UserError as error:
            return str(error), True
        except SystemExit:  # of the parser of options
            return "a wrong option in the request", True
        except Exception as error:
            traceback.print_exc()
            return f"{type(error).__name__}: {' '.join(str(error).split())}", False
        return None, False

    def answer(self, request: dict[str, Any], folder: Path) -> None:
        """Record the parts of a request into `folder`. Raises UserError at a user's mistake."""
        if request["port"] and self.port is None:
            self.port = PortFile(Path(request["port"]))
        job = Job(folder, self.port, request["settings"], request["network"])
        for part, record in PARTS.items():
            if part in request:
                report = record(job, **request[part])
                (folder / f"{part}.json").write_text(json.dumps(report, default=str))
