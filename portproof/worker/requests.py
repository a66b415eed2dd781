"""What a worker answers: the parts of a request, each of which becomes OUT_DIR/<part>.json.

A request holds `port` (a file) or `network` (MODULE:CALLABLE and arguments), `settings` of the
port, and for each part what it takes:

    about      {}                       the functions that the port defines, and its settings
    read       {path}                   a weights file of this framework, as read.safetensors
    write      {source, path}           a .safetensors, as this framework's, and read back
    describe   {input_shape, ...}       the keys, the layers, the order in which they run
    forward    {weights, passes, ...}   what each layer gives
    batches    {split, epochs}          what the loader gives (portproof/worker/data.py)

and of the port's own training (portproof/worker/training.py): training, first_batches, init,
loss, evaluation, lr, optimizer, resume, evaluate, inference.
"""

import importlib
import json
from pathlib import Path
from typing import Any

from portproof import port as contract
from portproof.worker import data, networks, training
from portproof.worker.job import Job
from portproof.worker.port_file import PortFile


def record_about(job: Job) -> dict[str, Any]:
    """Return the functions that the port defines, and the settings that it takes."""
    names = [name for name in contract.FUNCTIONS if job.port.has(name)]
    return {"functions": names, "settings": job.port.usual()}


# Each part has a function called record_<part>. Reading comes first: a network may be fitted to the
# file that it writes.
PARTS = {
    name.removeprefix("record_"): function
    for module in (networks, data, training)
    for name, function in vars(module).items()
    if name.startswith("record_")
} | {"about": record_about}


class Answer:
    """Answers requests in one framework; the port file is run at the first that names it."""

    def __init__(self, framework: str) -> None:
        self.backend = importlib.import_module(f"portproof.backends.{framework}")
        self.port: PortFile | None = None

    def __call__(self, request: dict[str, Any], folder: Path) -> None:
        """Record the parts of a request into `folder`. Raises UserError at a user's mistake."""
        if request.get("port") and self.port is None:
            self.port = PortFile(Path(request["port"]))
        job = Job(self.backend, folder, self.port, request["settings"], request.get("network"))
        for part, record in PARTS.items():
            if part in request:
                report = record(job, **request[part])
                (folder / f"{part}.json").write_text(json.dumps(report, default=str))
