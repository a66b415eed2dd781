"""Run command lines in one process, each as it would run alone: a framework imports for seconds.

The commands of a tree: `python -m tests.support.mains TREE REQUEST.json ANSWER.json`.
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
    """Call main() of a module as a program; return exit status, standard output and error."""
    done = call(importlib.import_module(name).main, [str(word) for word in words], **options)
    return done.returncode, done.stdout, done.stderr


def call_main(name: str, *words: object) -> subprocess.CompletedProcess:
    """Call main() of a module as a program, in this process."""
    return call(importlib.import_module(name).main, [str(word) for word in words])


def call(main: Callable, *arguments: object, **options: object) -> subprocess.CompletedProcess:
    """Call a function as a program's main(), in this process."""
    status, texts = 0, []
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            errors.run(lambda: main(*arguments, **options))
        except SystemExit as end:
            status = int(end.code or 0)
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    return subprocess.CompletedProcess(arguments, status, *texts)


def serve(run: Callable[[str, list], tuple[int, str, str]]) -> None:
    """Run the commands of a request, in the process of a tree."""
    tree, request, answer = sys.argv[1:]
    sys.path.insert(0, tree)
    commands = json.loads(Path(request).read_text())
    Path(answer).write_text(json.dumps([run(name, words) for name, words in commands]))


if __name__ == "__main__":
    serve(run_one)
