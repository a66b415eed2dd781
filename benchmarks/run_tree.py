"""Run train.py of a tree and time a window of its steps; one line of JSON comes out.

    python -m benchmarks.run_tree --framework torch --steps 10 -- --data-path DIR --batch-size 128

What follows the two dashes goes to train.py, which runs as ever, its batches through a window.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks import rates
from benchmarks.window import Window, add_arguments, leave
from common.paths import ROOT
from common.training import Observer
from portproof.system import errors, memory
from portproof.system.command_line import Parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(prog="benchmarks.run_tree", description="Time a window of train.py's steps.")
    parser.add_argument("--framework", required=True, choices=["torch", "paddle"])
    parser.add_argument("--made-up", action="store_true", help="one batch, again and again")
    dtypes = ["float32", "bfloat16"]
    parser.add_argument("--rates", choices=dtypes, help="of the machine, between the steps")
    add_arguments(parser)
    parser.add_argument("options", nargs="*", metavar="-- OPTION", help="options of train.py")
    args = parser.parse_args(argv)
    window = Window(args.warm_steps, args.steps)
    with tempfile.TemporaryDirectory() as folder:
        figures = run(window, args, [*args.options, "--output-dir", f"{folder}/run"])
    leave(figures, window.loaders)


def run(window: Window, args: argparse.Namespace, options: list[str]) -> dict[str, float]:
    """Run a tree; return the figures of its window."""
    sys.path.insert(0, str(ROOT / f"AlexNet-{args.framework}"))  # before the train.py beside this
    import train

    if args.framework == "torch":
        window.settle = settle_torch
    if args.read_only:
        memory.keep_freed()  # as train.py does after its first step
        loader, _, _ = train.load_data(train.parse(args.framework, options))
        for _ in window.watch(train.read_batches(loader, epoch=0)):
            pass
        return window.figures()
    machine = rates.Rates(args.framework, args.rates)
    if args.rates:
        window.between = machine.measure
    with contextlib.suppress(Done):
        train.main(options, Timed(window, args.made_up))
    return window.figures() | machine.best


class Timed(Observer):
    """Hands a loop its batches through a window, and ends the run with it."""

    def __init__(self, window: Window, made_up: bool) -> None:
        self.pass_on = window.repeat if made_up else window.watch

    def batches(self, batches: Iterable[tuple], epoch: Any) -> Iterator[tuple]:
        """Pass the batches of the window on."""
        yield from self.pass_on(batches)
        raise Done


class Done(BaseException):
    """The window is over: nothing of train.py is to catch it."""


def settle_torch() -> None:
    """Wait until the device is done: on a GPU, a step returns before it is computed."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


if __name__ == "__main__":
    errors.run(main)
