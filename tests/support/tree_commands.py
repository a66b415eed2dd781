"""Run command lines of one tree in one process, as each would run alone: an import takes seconds.

python -m tests.support.tree_commands TREE REQUEST.json ANSWER.json
"""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.helpers import call


def run_one(name: str, words: list, **options: object) -> tuple[int, str, str]:
    """Call main() of a module as a program; return exit status, standard output and error."""
    done = call(importlib.import_module(name).main, [str(word) for word in words], **options)
    return done.returncode, done.stdout, done.stderr


def serve(run: Callable[[str, list], tuple[int, str, str]]) -> None:
    """Run the commands of a request, in the process of a tree."""
    tree, request, answer = sys.argv[1:]
    sys.path.insert(0, tree)
    commands = json.loads(Path(request).read_text())
    Path(answer).write_text(json.dumps([run(name, words) for name, words in commands]))


if __name__ == "__main__":
    serve(run_one)
