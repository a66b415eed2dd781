"""Where the time of an epoch goes: waiting for images, or computing."""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from portproof.system import processor

MUCH = 0.3  # of the time
SHORT = 20.0  # seconds; of so short an epoch, starting the loader is a large part


@dataclass
class LoaderTimer:
    """Counts the seconds that a loop waits for its loader, and those that it computes."""

    for_data: float = 0.0
    for_compute: float = 0.0

    def count(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Pass the batches on."""
        start = time.perf_counter()
        for batch in batches:
            ready = time.perf_counter()
            yield batch
            end = time.perf_counter()
            self.for_data += ready - start
            self.for_compute += end - ready
            start = end

    def total(self) -> float:
        """Return the seconds of both, above 0."""
        return max(self.for_data + self.for_compute, 1e-9)

    def warn(self, workers: int) -> None:
        """Say on standard error what to do where the loader is what the training waits for."""
        share = self.for_data / self.total()
        if share <= MUCH or self.total() < SHORT:
            return
        cores = processor.available_cores()
        what = "more --workers" if workers < cores else "smaller images on a faster disk"
        print(
            f"warning: {100 * share:.0f} % of the epoch waited for images; {what} would help "
            f"(--workers {workers}, {cores} cores)",
            file=sys.stderr,
        )
