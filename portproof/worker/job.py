"""One request to a worker: of which port, or which network, with what settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portproof.backends import backend
from portproof.port import Settings
from portproof.worker.drive import drive
from portproof.worker.port_file import PortFile, make_network
from portproof.worker.recorder import Watcher
from portproof.worker.source import Report


@dataclass
class Job:
    """What the parts of a request share.

    `network`: {"name": MODULE:CALLABLE, "arguments": {...}} of one that is none of the port's.
    """

    folder: Path  # for what is written
    port: PortFile | None  # None: the parts that are asked for need none
    settings: Settings
    network: dict[str, Any] | None = None

    def make_network(self, **settings: Any) -> Any:
        """Return the network, freshly initialized: the port's, or the one that is named."""
        if self.network is not None:
            return make_network(**self.network)
        return self.port.model(self.settings | settings)

    def watch(self, watcher: Watcher, dtype: str, **settings: Any) -> Report:
        """Run the port's loop from its start with a watcher; return what that reports."""
        output = {"output_dir": str(self.folder / "run")}
        with watcher.watching(dtype):
            self.train(watcher, self.settings | output | settings)
        return watcher.report()

    def train(self, watcher: Watcher | None, settings: Settings) -> Any:
        """Run the port's loop, or where it has none the one that its parts make."""
        with backend.names_from_the_first():
            if self.port.has("train"):
                return self.port.train(watcher, settings)
            return drive(self.port, watcher, settings)
