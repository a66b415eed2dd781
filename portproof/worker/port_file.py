"""A port file as the worker calls it: what it defines, and what it lacks (portproof/port.py)."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from portproof.backends import backend
from portproof.port import Settings
from portproof.system.errors import UserError
from portproof.worker.source import describe_error


class PortFile:
    """The functions of a port, by their names. A missing one raises UserError when it is called."""

    def __init__(self, path: Path) -> None:
        """Run the file, its folder first on the path."""
        self.path = path.resolve()
        sys.path.insert(0, str(self.path.parent))
        self.module = run_file("port", self.path)

    def has(self, name: str) -> bool:
        """Say whether the port defines a function."""
        return callable(getattr(self.module, name, None))

    def __getattr__(self, name: str) -> Callable:
        if not self.has(name):
            raise UserError(f"{self.path} has no {name}()")
        return getattr(self.module, name)

    def usual(self) -> Settings:
        """Return the settings that the port takes, with their usual values."""
        return dict(getattr(self.module, "SETTINGS", {}))


def run_file(name: str, path: Path) -> ModuleType:
    """Run a file as the module of this name, by which the file of a class is found later."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


def make_network(name: str, arguments: dict[str, Any]) -> Any:
    """Return the network of MODULE:CALLABLE or FILE.py:CALLABLE, a class or a function.

    The current folder comes first. Raises UserError where there is no such network.
    """
    where, _, callable_name = name.rpartition(":")
    sys.path.insert(0, "")
    try:
        is_file = where.endswith(".py")
        module = run_file(Path(where).stem, where) if is_file else importlib.import_module(where)
        network = getattr(module, callable_name)(**arguments)
    except Exception as error:  # whatever the user's code raises
        raise UserError(
            f"{name}: no network ({describe_error(error)}); give MODULE:CALLABLE or "
            "FILE.py:CALLABLE, which is called with the model's arguments"
        ) from error
    finally:
        sys.path.remove("")
    if not isinstance(network, backend.Module):
        kind = type(network).__name__
        raise UserError(f"{name} returns a {kind}, not an {backend.MODULE_CLASS}")
    return network
