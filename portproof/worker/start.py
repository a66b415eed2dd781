"""Start a worker: python portproof/worker/start.py FRAMEWORK.

Run by its path: the interpreter of a framework may have NumPy and the framework alone. It answers
the requests that come on standard input (portproof/worker/requests.py).
"""

import importlib
import importlib.util
import sys
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]


def import_library() -> None:
    """Make portproof importable, and nothing else that lies beside it."""
    beside = LIBRARY / "worker"  # Python puts a script's folder on the path
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != beside]
    spec = importlib.util.spec_from_file_location(
        "portproof", LIBRARY / "__init__.py", submodule_search_locations=[str(LIBRARY)]
    )
    sys.modules["portproof"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["portproof"])


if __name__ == "__main__":
    import_library()
    requests = importlib.import_module("portproof.worker.requests")
    errors = importlib.import_module("portproof.system.errors")
    errors.run(requests.Worker(sys.argv[1]).serve)
