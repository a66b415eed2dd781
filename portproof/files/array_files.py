"""Arrays in numbered files, as one sequence."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


class ArrayFiles(Sequence[np.ndarray]):
    """FOLDER/NAME-0.npy, FOLDER/NAME-1.npy, ..., each read when it is asked for and not kept.

    So the batches of hundreds of steps take no more memory than one of them.
    """

    def __init__(self, folder: Path, name: str, count: int) -> None:
        self._files = [folder / f"{name}-{number}.npy" for number in range(count)]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int) -> np.ndarray:
        return np.load(self._files[number])
