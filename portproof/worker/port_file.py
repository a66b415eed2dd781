"""A port file as the worker calls it: what it defines, and what it lacks (portproof/port.py)."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portproof.system.errors import UserError
from portproof.worker.source import describe_error


class PortFile:
    """The functions of a port, by their names. A missing one raises UserError when it is called."""

    def __init__(self, path: Path) -> None:
        """Run the file, its folder first on the path. Raises UserError where there is none."""
        if not path.is_file():
            raise UserError(f"{path}: there is no such port file")
        self.path = path.resolve()
        sys.path.insert(0, str(self.path.parent))
        spec = importlib.util.spec_from_file_location("port", self.path)
        self.module = importlib.util.module_from_spec(spec)
        sys.modules["port"] = self.module
        spec.loader.exec_module(self.module)

    def has(self, name: str) -> bool:
        """Say whether the port defines a function."""
        return callable(getattr(self.module, name, None))

    def value(self, name: str, default: Any) -> Any:
        """Return a value that the port defines, or `default`."""
        return getattr(self.module, name, default)

    def __getattr__(self, name: str) -> Callable:
        if not self.has(name):
            raise UserError(f"{self.path} has no {name}()")
        return getattr(self.module, name)

    def usual(self) -> dict[str, Any]:
        """Return the settings that the port takes, with their usual values."""
        return dict(self.value("SETTINGS", {}))


def make_network(name: str, arguments: dict[str, Any], backend: Any) -> Any:
    """Call MODULE:CALLABLE or FILE.py:CALLABLE, a class or a function, and return its network.

    The module is looked for in the current folder first. Raises UserError where it cannot be had.
    """
    where, _, callable_name = name.rpartition(":")
    sys.path.insert(0, "")
    try:
        if where.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(where).stem, where)
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(spec.name, module)  # by it the file of a class is found
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
        network = getattr(module, callable_name)(**arguments)
    except Exception as error:  # whatever the user's code raises
        raise UserError(
            f"{name}: no network ({describe_error(error, backend)}); give MODULE:CALLABLE or "
            "FILE.py:CALLABLE, which is called with the model's arguments"
        ) from error
    finally:
        sys.path.remove("")
    if not isinstance(network, backend.Module):
        kind = type(network).__name__
        raise UserError(f"{name} returns a {kind}, not an {backend.MODULE_CLASS}")
    return network
