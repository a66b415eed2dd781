"""An accuracy baseline: one recipe in both frameworks with several seeds, as a table.

    python -m experiments.accuracy --dataset cifar10
    python -m experiments.accuracy --dataset cifar10 --frameworks torch -- --fast
    python -m experiments.accuracy --data-path DIR --recipe imagenet --seeds 0 -- --processes 8
    python -m experiments.accuracy --data-path JPEG --recipe cifar10 \\
        --table docs/results/accuracy.csv

Each training is one call of scripts/train.sh, one after the other; what follows -- goes to it as it
is. A training whose row is in the table is not run again, and one that was stopped resumes from its
checkpoint: the same command does the rest. Calls with other seeds, frameworks or options
may share a table, where the images are the same. Writes TABLE, a row a training, and beside it
every epoch (TABLE's name with -epochs) and a page in English (.md) and in Chinese (.zh-CN.md) with
mean and spread of each set of trainings and what the frameworks differ by.

The last command extends the project's own table; it has the images that docs/en/accuracy.md
names.
"""

import argparse
import csv
import shlex
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.data import public_data
from common.paths import ROOT, RUNS_DIR
from common.training.recipes import RECIPES
from experiments import accuracy_page
from experiments.collected import COLUMNS, EPOCH_COLUMNS, read_epochs, read_run, write_csv
from experiments.images import fingerprint
from portproof.system import errors
from portproof.system.atomic_folders import locked
from portproof.system.command_line import LARGEST_SEED, Parser, whole
from portproof.system.errors import RunError, UserError

FRAMEWORKS = ("torch", "paddle")
KEY = ("recipe", "options", "framework", "seed")
STORED = (*KEY, *(name for name in COLUMNS if name not in KEY), "pictures", "command")
STORED_EPOCHS = (*KEY, *EPOCH_COLUMNS)
STOPPED = {130, 143, -signal.SIGINT, -signal.SIGTERM}  # exit status after Ctrl-C or SIGTERM

Row = dict[str, Any]  # of one training, by the names in STORED; read from a file, all are texts


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    rows = read_table(args.table)
    own_images = fingerprint(public_data.locate(args))
    for seed in args.seeds:
        for framework in args.frameworks:
            key = (args.recipe, args.options, framework, str(seed))
            told = " ".join(["train.sh", *names(framework, seed, args)])
            if key in rows:
                check_images(rows[key], own_images, args.table)
                print(f"{told}: is in {args.table.name}", flush=True)
                continue
            print(told, flush=True)
            folder = args.runs / folder_name(framework, seed, args)
            status = train(framework, seed, folder, args)
            if status in STOPPED:
                print("stopped; the same command resumes here")
                return 130
            if status:
                raise RunError(f"{told}: exit status {status} (reason above)")
            with locked(args.table):
                rows = read_table(args.table)  # another call may have added to it meanwhile
                rows[key] = row(key, folder, args) | {"pictures": own_images}
                write_csv(args.table, STORED, [rows[one] for one in sorted(rows)])
                write_epochs(args.table, key, folder)
    pages = accuracy_page.write(args.table, list(rows.values()))
    print(f"look at: {args.table} and {', '.join(map(str, pages))}")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="experiments.accuracy", description=__doc__)
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--data-path", type=Path, metavar="DIR", help="images, as train.sh has it")
    data.add_argument(
        "--dataset", choices=sorted(public_data.SIZES), help="a public data set (the sample)"
    )
    parser.add_argument(
        "--recipe", choices=sorted(RECIPES), help="(cifar10 for --dataset cifar10, else needed)"
    )
    parser.add_argument(
        "--frameworks",
        nargs="+",
        choices=FRAMEWORKS,
        default=FRAMEWORKS,
        metavar="NAME",
        help="torch, paddle (both)",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=whole(0, LARGEST_SEED),
        default=[0, 1, 2],
        metavar="N",
        help="a training of each framework with each of them (0 1 2)",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=RUNS_DIR / "accuracy",
        metavar="DIR",
        help="where the run folders lie (runs/accuracy)",
    )
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="(accuracy.csv in the folder of --runs)"
    )
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


def names(framework: str, seed: int, args: argparse.Namespace) -> list[str]:
    """Return what tells a training from the others, as options of train.sh."""
    which = ["--framework", framework, "--recipe", args.recipe, "--seed", str(seed)]
    return [*which, *args.more]


def folder_name(framework: str, seed: int, args: argparse.Namespace) -> str:
    """Return the run folder's name, another one for other options."""
    words = "".join(one if one.isalnum() or one in ".-" else "_" for one in args.options)
    return "-".join(filter(None, [framework, args.recipe, words.strip("-"), str(seed)]))


def images(args: argparse.Namespace) -> list[str]:
    """Return the options of train.sh that name the images."""
    if args.data_path:
        return ["--data-path", str(args.data_path.resolve())]
    return ["--dataset", args.dataset] if args.dataset else []


def command(framework: str, seed: int, args: argparse.Namespace) -> str:
    """Return the command of a training as the table has it, without the places of a machine."""
    shown = ["--data-path", "DIR"] if args.data_path else images(args)
    return shlex.join(["bash", "scripts/train.sh", *names(framework, seed, args), *shown])


def check_images(row: Row, own: str, table: Path) -> None:
    """Raise UserError where the row of the table is of other images than the call is."""
    if row["pictures"] != own:
        raise UserError(
            f"--table {table}: has that training of other images ({row['pictures']}; here "
            f"{own}); name another --table and other --runs"
        )


def train(framework: str, seed: int, folder: Path, args: argparse.Namespace) -> int:
    """Run one training to its end, from its newest checkpoint if there is one; return the status.

    Ctrl-C reaches the training as well: it saves and ends, and is waited for.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    options = [*names(framework, seed, args), *images(args)]
    words = ["bash", str(ROOT / "scripts" / "train.sh"), *options]
    told, processes = [], []

    def end(number: int, frame: object) -> None:
        told.append(number)
        if number == signal.SIGTERM:  # Ctrl-C reaches every process of the terminal
            for process in processes:
                process.terminate()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        processes.append(
            subprocess.Popen([*words, "--output-dir", str(folder), "--resume", "auto"])
        )
        if signal.SIGTERM in told:  # while it was begun
            processes[0].terminate()
        return processes[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def row(key: tuple[str, ...], folder: Path, args: argparse.Namespace) -> Row:
    """Return the row of a finished training. Raises UserError where its folder tells of none."""
    told = read_run(folder)
    own = command(told["framework"], told["seed"], args)
    return told | dict(zip(KEY, key, strict=True)) | {"command": own}


def read_table(path: Path) -> dict[tuple[str, ...], Row]:
    """Return the rows of a table by their keys; none where there is no file.

    Raises UserError where the file is no such table.
    """
    return {key_of(one): one for one in read_rows(path, STORED)}


def write_epochs(table: Path, key: tuple[str, ...], folder: Path) -> None:
    """Write the epochs of a training beside the table, in the place of those that it had there."""
    path = table.with_name(f"{table.stem}-epochs.csv")
    told = dict(zip(KEY, key, strict=True))
    rows = [one for one in read_rows(path, STORED_EPOCHS) if key_of(one) != key]
    rows += [told | one for one in read_epochs(folder)]
    write_csv(path, STORED_EPOCHS, sorted(rows, key=lambda one: (key_of(one), int(one["epoch"]))))


def key_of(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in KEY)


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """Return the lines of a CSV file; none where there is no file.

    Raises UserError where it has other columns.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"--table {path}: cannot be read ({error})") from error
    if tuple(reader.fieldnames or ()) != tuple(columns) or any(
        None in one.values() for one in rows
    ):
        raise UserError(f"--table {path}: not a table of this command; name another file")
    return rows


if __name__ == "__main__":
    errors.run(main)
