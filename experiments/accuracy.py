"""An accuracy baseline: one recipe in both frameworks with several seeds, as a table.

    python -m experiments.accuracy --dataset cifar10
    python -m experiments.accuracy --dataset cifar10 --frameworks torch -- --fast
    python -m experiments.accuracy --data-path DIR --recipe imagenet --seeds 0 -- --processes 8
    python -m experiments.accuracy --data-path JPEG --recipe cifar10 \\
        --table docs/results/accuracy.csv

Each training is one call of scripts/train.sh, one after the other; what follows -- goes to it as it
is. A training whose row is in the table is not run again, and one that was stopped resumes from its
checkpoint: the same command does the rest. Calls with other seeds, frameworks or options may share
a table, where the images are the same. Writes TABLE, a row a training, and beside it every epoch
(TABLE's name with -epochs) and a page in English (.md) and in Chinese (.zh-CN.md).

The last command extends the project's own table, with the images that docs/en/accuracy.md names.
"""

import argparse
import csv
import shlex
import signal
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from common.data import public_data
from common.paths import ROOT, RUNS_DIR
from common.tables import read_csv, write_csv
from common.training.recipes import RECIPES
from experiments import accuracy_tables, pages
from experiments.collected import COLUMNS, EPOCH_COLUMNS, read_epochs, read_run
from experiments.images import fingerprint
from experiments.options import add_images, add_trainings
from experiments.runner import Runner, leave_at_sigterm
from portproof.cli.options import add_path
from portproof.system import errors
from portproof.system.command_line import Parser, add_option
from portproof.system.errors import RunError, UserError
from portproof.system.locks import locked

KEY = ("recipe", "options", "framework", "seed")
STORED = (*KEY, *(name for name in COLUMNS if name not in KEY), "pictures", "command")
STORED_EPOCHS = (*KEY, *EPOCH_COLUMNS)
STOPPED = {130, 143, -signal.SIGINT, -signal.SIGTERM}  # exit status after Ctrl-C or SIGTERM

Row = dict[str, Any]  # of one training, by the names in STORED; read from a file, all are texts


class Training(NamedTuple):
    framework: str
    seed: int
    args: argparse.Namespace  # of this command

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from the others in the table, by the names in KEY."""
        return self.args.recipe, self.args.options, self.framework, str(self.seed)

    @property
    def options(self) -> list[str]:
        """What tells it from the others, as options of train.sh."""
        which = ["--framework", self.framework, "--recipe", self.args.recipe]
        return [*which, "--seed", str(self.seed), *self.args.more]

    @property
    def title(self) -> str:
        return " ".join(["train.sh", *self.options])

    @property
    def folder(self) -> Path:
        """The run folder, another one for other options."""
        options = "".join(x if x.isalnum() or x in ".-" else "_" for x in self.args.options)
        words = [self.framework, self.args.recipe, options.strip("-"), str(self.seed)]
        return self.args.runs / "-".join(filter(None, words))

    @property
    def images(self) -> list[str]:
        """The options of train.sh that name the images."""
        if self.args.data_path:
            return ["--data-path", str(self.args.data_path.resolve())]
        return ["--dataset", self.args.dataset] if self.args.dataset else []

    @property
    def command(self) -> str:
        """The command as the table has it, without the paths of a machine."""
        images = ["--data-path", "DIR"] if self.args.data_path else self.images
        return shlex.join(["bash", "scripts/train.sh", *self.options, *images])


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    rows = {key_of(row): row for row in read_rows(args.table, STORED)}
    images = fingerprint(public_data.locate(args))
    missing = []
    for seed, framework in product(args.seeds, args.frameworks):
        training = Training(framework, seed, args)
        if training.key in rows:
            of_table = rows[training.key]["pictures"]
            if of_table != images:
                which = f"that training of other images ({of_table}; here {images})"
                what = f"--table {args.table}: has {which}"
                raise UserError(f"{what}; name another --table and other --runs")
            print(f"{training.title}: is in {args.table.name}", flush=True)
        else:
            missing.append(training)
    runner = Runner()

    def note(training: Training, status: int) -> None:
        if status in STOPPED:
            raise SystemExit(status)
        if status:
            raise RunError(f"{training.title}: exit status {status} (reason above)")
        add(training, images)

    try:
        runner.perform_all(missing, partial(train, runner), note)
    except (KeyboardInterrupt, SystemExit):
        print("stopped; the same command resumes here")
        return 130
    values = partial(accuracy_tables.values, read_rows(args.table, STORED))
    written = pages.write(args.table.with_suffix(""), "accuracy", values)
    print(f"look at: {args.table} and {', '.join(map(str, written))}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="experiments.accuracy", description=__doc__)
    add_images(parser)
    text = "hyperparameters (cifar10 for --dataset cifar10, else needed)"
    add_option(parser, "--recipe", text, sorted(RECIPES))
    add_trainings(parser)
    text = "where the run folders lie (runs/accuracy)"
    add_option(parser, "--runs", text, Path, "DIR", RUNS_DIR / "accuracy")
    add_path(parser, "--table", "(accuracy.csv in the folder of --runs)")
    parser.add_argument("more", nargs="*", metavar="-- OPTION", help="options of train.sh")
    args = parser.parse_args(argv)
    if args.recipe is None:
        if args.dataset not in RECIPES:
            parser.error(f"--recipe names what to train by; one of {', '.join(sorted(RECIPES))}")
        args.recipe = args.dataset
    args.options = shlex.join(args.more)
    if args.table is None:
        args.runs.mkdir(parents=True, exist_ok=True)
        args.table = args.runs / "accuracy.csv"
    if args.table.suffix != ".csv":
        parser.error(f"--table {args.table}: a name that ends in .csv")
    if not args.table.parent.is_dir():
        parser.error(f"--table {args.table}: there is no folder {args.table.parent}")
    return args


def train(runner: Runner, training: Training) -> int:
    """Run one training to its end, from its newest checkpoint if it has one; return the status."""
    print(training.title, flush=True)
    training.folder.parent.mkdir(parents=True, exist_ok=True)
    command = ["bash", ROOT / "scripts" / "train.sh", *training.options, *training.images]
    return runner.run([*command, "--output-dir", training.folder, "--resume", "auto"])


def add(training: Training, images: str) -> None:
    """Add a finished training to the table, its epochs to the one beside it, or raise UserError."""
    table = training.args.table
    key = dict(zip(KEY, training.key, strict=True))
    row = read_run(training.folder) | key | {"pictures": images, "command": training.command}
    epochs = [key | epoch for epoch in read_epochs(training.folder)]
    with locked(table):  # another call may add to it too
        exchange(table, STORED, [row])
        exchange(table.with_name(f"{table.stem}-epochs.csv"), STORED_EPOCHS, epochs)


def exchange(path: Path, columns: Sequence[str], rows: list[Row]) -> None:
    """Write rows of one training into a table, in place of those that it has there."""
    key = key_of(rows[0])
    others = [row for row in read_rows(path, columns) if key_of(row) != key]
    write_csv(path, columns, sorted([*others, *rows], key=key_of))


def key_of(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in KEY)


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """Return the rows of a table, none without a file. Raises UserError for other columns."""
    what = f"--table {path}: not a table of this command"
    with errors.explained(what, "name another file", (OSError, ValueError, csv.Error)):
        return read_csv(path, columns)


if __name__ == "__main__":
    leave_at_sigterm()
    errors.run(main)
