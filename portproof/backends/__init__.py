"""The framework of this process: `backend` has what torch.py or paddle.py beside this defines."""

import importlib
from types import SimpleNamespace

backend = SimpleNamespace()  # empty until one is chosen


def choose(framework: str) -> None:
    """Choose the framework of this process, torch or paddle, before all else; there is one."""
    vars(backend).update(vars(importlib.import_module(f"portproof.backends.{framework}")))
