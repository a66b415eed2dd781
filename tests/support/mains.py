"""Run several command lines of one tree in one process, each as it would run alone.

A framework takes seconds to import, so tests that need many runs of predict.py or export.py share
one process: `python -m tests.support.mains TREE REQUEST.json ANSWER.json`.
"""

import importlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from portproof.system import errors
from tests.support.helpers import assert_success, run_warm
from tests.support.trees import framework_of

Command = tuple[str, Sequence[object]]  # a module of the tree, such as predict, and its arguments


def run_mains(
    tree: Path, folder: Path, *commands: Command, by: str = "tests.support.mains"
) -> list[subprocess.CompletedProcess]:
    """Run each command; return its exit status and output. `folder` is for notes."""
    request, answer = folder / "request.json", folder / "answer.json"
    request.write_text(json.dumps(commands, default=str))
    assert_success(run_warm(framework_of(tree), "-m", by, tree, request, answer))
    return [subprocess.CompletedProcess(by, *run) for run in json.loads(answer.read_text())]


def run_one(name: str, words: list, **options: object) -> tuple[int, str, str]:
    """Call main() of a module as a program; return exit status, standard output and error.

    `options` are arguments of main.
    """
    words = [str(word) for word in words]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    module = importlib.import_module(name)
    status = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            errors.run(lambda: module.main(words, **options))
        except SystemExit as left:
            status = int(left.code or 0)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    return status, *texts


def call_main(name: str, *words: object) -> subprocess.CompletedProcess:
    """Call main() of a module as a program, in this process."""
    texts = [str(word) for word in words]
    return subprocess.CompletedProcess([name, *texts], *run_one(name, texts))


def serve(run: Callable[[str, list], tuple[int, str, str]]) -> None:
    """Run the commands of a request, in the process of a tree."""
    tree, request, answer = sys.argv[1:]
    sys.path.insert(0, tree)
    commands = json.loads(Path(request).read_text())
    Path(answer).write_text(json.dumps([run(name, words) for name, words in commands]))


if __name__ == "__main__":
    serve(run_one)
