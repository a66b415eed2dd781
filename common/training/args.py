"""The command line of train.py, one for both trees."""

import argparse
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from common import networks
from common.data.public_data import SIZES
from common.networks import LARGEST_IMAGE, SMALLEST_IMAGE
from common.paths import AUTO, RUNS_DIR
from common.training import checkpoint_files, run_folder
from common.training.checkpoint_files import SUFFIX
from common.training.recipes import RECIPES
from portproof.system import command_line
from portproof.system.command_line import Parser, device, real, whole
from portproof.system.errors import explained

# What --fast means beside its loader, unless given otherwise.
FAST = {"torch": {"amp": "auto", "channels_last": True}, "paddle": {"amp": "auto"}}
# What may change when a run is resumed; all else is part of what the run is.
CHANGEABLE = {"data_path", "workers", "device", "output_dir", "resume", "weights", "eval_only"}
CHANGEABLE |= {"save_every", "keep", "tensorboard", "visualdl", "compile"}
CHANGEABLE |= {"verify_data", "skip_bad", "finetune", "resume_auto", "eval_crops"}
# Of these, what stays as it was unless given anew.
KEPT = {"data_path", "verify_data", "skip_bad", "eval_crops"}


def _save_every(text: str) -> str:
    """An argparse type for steps (500) or minutes (15m)."""
    number = text.removesuffix("m")
    if not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither steps, as 500, nor minutes, as 15m")
    return text


# Tables of options, as `add_options` takes them; the default is the recipe's where none is named.
DATA = (
    ("--data-path", "a folder with train/<class>/* and val/<class>/*; none: the embedded sample",
     Path, "DIR"),
    ("--dataset", "a public data set, fetched into data/ when it is first asked for",
     sorted(SIZES)),
    ("--image-size",
     "width and height of the network's input; alexnet takes "
     f"{networks.SMALLEST['alexnet']} or more (recipe)",
     whole(SMALLEST_IMAGE, LARGEST_IMAGE), "PIXELS"),
    ("--workers", "processes that read images; 0: the training process itself (2)",
     whole(0, 1024), "N", 2),
    ("--verify-data",
     "decode every image once before training, and stop with the list of bad ones (off)"),
    ("--skip-bad", "leave out up to N bad images; --verify-data finds them first (0)",
     whole(0), "N", 0),
    ("--train-crop",
     "training crops: of any size from 8 %% of the area on, as torchvision's; of one size at a "
     "drawn place, as the paper's; or the centre, never mirrored, as evaluation has it (recipe)",
     ["resized", "shifted", "centre"]),
    ("--eval-crops",
     "evaluation looks at the centre alone; or at the corners too and at all five mirrored, and "
     "averages the probabilities, as the paper does (1)", [1, 10], None, 1),
    ("--colour-noise",
     "of the multiples of the training set's principal colours that are added to an image; the "
     "paper: 0.1 (recipe)", real(0, 10), "STD"),
    ("--cache",
     "read images from a copy that is decoded and small, in DIR (none named: in .cache/prepared); "
     "it is made where it is not there or no longer that of the files (off)",
     (Path, AUTO), "DIR"),
)  # fmt: skip
RECIPE = (
    ("--recipe",
     "the set of defaults (cifar10 for --dataset cifar10, imagenet for other images, sample for "
     "none)", sorted(RECIPES)),
    ("--epochs", "passes over train (recipe)", whole(1), "N"),
    ("--batch-size", "images a step on each GPU (recipe)", whole(1), "N"),
    ("--lr", "learning rate for --gpus GPUs; the run uses RATE x its processes / GPUs (recipe)",
     real(0, 1e3), "RATE"),
    ("--gpus", "GPUs that --lr is meant for (recipe)", whole(1), "N"),
    ("--momentum", "of SGD (recipe)", real(0, 1), "M"),
    ("--nesterov", "Nesterov's momentum (off)"),
    ("--weight-decay", "L2 penalty (recipe)", real(0, 1e3), "W"),
    ("--schedule", "of the learning rate (recipe)", ["step", "cosine", "plateau"]),
    ("--lr-step-size", "step: epochs a stair (recipe)", whole(1), "EPOCHS"),
    ("--lr-gamma", "factor of each stair (recipe)", real(0, 1), "G"),
    ("--lr-patience",
     "plateau: a stair after more epochs than these without a smaller val error (recipe)",
     whole(0), "EPOCHS"),
    ("--warmup-epochs", "epochs, or a fraction, in which the rate climbs from a hundredth (recipe)",
     real(0, 1e6), "EPOCHS"),
    ("--accumulate", "batches that make up one step (1)", whole(1), "N", 1),
    ("--clip-grad",
     "scale the gradients of a step down to this norm where theirs is larger; 0: no (0)",
     real(0, 1e9), "NORM", 0.0),
    ("--label-smoothing", "of the cross entropy (0)", real(0, 1), "S", 0.0),
    ("--ema", "evaluate a moving average of the weights, of this decay a step; 0: no (0)",
     real(0, 1), "DECAY", 0.0),
    ("--dropout", "rate (recipe)", real(0, 0.99), "P"),
)  # fmt: skip
MODEL = (
    ("--model",
     "alexnet: the one column of 2014; alexnet-paper: that of the paper of 2012; others: small "
     "networks of experiments/claims.py (recipe)", sorted(networks.SMALLEST)),
    ("--weights", "start from these weights, not random ones", Path, "FILE"),
    ("--finetune", "all layers but the last from --weights, the last drawn for your classes (off)"),
    ("--resume",
     "resume from a checkpoint, in its run folder; auto: the newest intact one of --output-dir or "
     "of the newest run, and a new run where there is none", Path, "FILE"),
    ("--eval-only", "only measure --weights or --resume on val"),
)  # fmt: skip
SPEED = (
    ("--amp",
     "mixed precision: most of the arithmetic in 16 bits; fp16 on a GPU alone; auto: bf16 where "
     "the device is quicker in it (off)", ["off", "auto", "bf16", "fp16"], None, "off"),
    ("--fast",
     "all that makes training faster and keeps accuracy: --amp auto, --channels-last, and a "
     "loader whose pixels are close to exact (off)"),
    ("--split-batch",
     "several processes share --batch-size and the learning rate of one, in place of having as "
     "much each (off)"),
    ("--compile", "have the framework compile the network (off)"),
    ("--channels-last", "lay images out as [N, H, W, C]; torch alone (off)"),
    ("--deterministic", "the same numbers at every run on a GPU too, at some speed (off)"),
)  # fmt: skip
CHECKPOINTS = (
    ("--save-every",
     "steps (500) or minutes (15m) from checkpoint to checkpoint within an epoch (15m)",
     _save_every, "N", "15m"),
    ("--keep", "checkpoints that are kept, beside the best (2)", whole(1), "N", 2),
)  # fmt: skip
RUN = (
    ("--tensorboard", "log for TensorBoard; torch (off)"),
    ("--visualdl", "log for VisualDL; Paddle (off)"),
    ("--output-dir", "the run folder, a new one (runs/<framework>-<recipe>-<time>)", Path, "DIR"),
    ("--seed", "of all draws (0)", whole(0, command_line.LARGEST_SEED), "N", 0),
    ("--device", "auto, cpu, gpu or gpu:NUMBER (auto: a GPU where there is one)",
     device, "NAME", "auto"),
)  # fmt: skip


def get_args_parser(framework: str) -> Parser:
    """Return the parser of train.py. Options that have the recipe's value are None by default."""
    parser = Parser(
        prog="train.py",
        description=f"Train AlexNet on an image folder with {framework}.",
        epilog="Options that say 'recipe' have the recipe's value unless you give another.",
    )
    for title, rows in {
        "data": DATA,
        "recipe": RECIPE,
        "model": MODEL,
        "speed and precision": SPEED,
        "checkpoints": CHECKPOINTS,
        "run": RUN,
    }.items():
        command_line.add_options(parser.add_argument_group(title), rows)
    return parser


def parse(framework: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse `argv`, fill in what is not given from the run to resume, else from the recipe.

    Adds `framework` and `resize_size`. Leaves with exit status 2 on a mistake.
    """
    parser = get_args_parser(framework)
    usual = vars(parser.parse_args([]))
    parser.set_defaults(**dict.fromkeys(usual))  # None, to see what is given
    args = parser.parse_args(argv)
    args.resume_auto = str(args.resume) == AUTO
    if args.resume_auto:
        _hold(args, args.output_dir)  # first: another run might write the checkpoint that is chosen
        args.resume = _newest_checkpoint(args.output_dir, framework)
        if args.resume:  # what a new run would have started from
            args.weights = args.finetune = None
    _check_paths(parser, args)
    if args.resume:
        _hold(args, args.output_dir or args.resume.parent)
        _fill_in(args, _stored_arguments(parser, args, framework, args.resume.parent))
    elif args.resume_auto and args.output_dir and (args.output_dir / "args.json").exists():
        # It ended before its first checkpoint, and begins anew.
        _fill_in(args, _stored_arguments(parser, args, framework, args.output_dir))
    images = "imagenet" if args.data_path or args.dataset else "sample"
    _fill_in(args, {"recipe": args.dataset if args.dataset in RECIPES else images})
    recipe = dataclasses.asdict(RECIPES[args.recipe])
    _fill_in(args, {"model": recipe["model"]})
    recipe["image_size"] = max(recipe["image_size"], networks.SMALLEST[args.model])
    _fill_in(args, recipe)
    if args.fast:
        _fill_in(args, FAST[framework])
    _fill_in(args, usual)
    args.verify_data = args.verify_data or args.skip_bad > 0
    args.framework = framework
    args.resize_size = resize_size(args.image_size)
    for mistake in _mistakes(args):
        parser.error(mistake)
    return args


def _newest_checkpoint(run: Path | None, framework: str) -> Path | None:
    """Return the newest intact checkpoint of `run`, or of the newest run that has one."""
    every = [run] if run else RUNS_DIR.glob(f"{framework}-*")
    runs = [folder for folder in every if folder.is_dir()]
    runs.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    paths = (checkpoint_files.newest(folder, SUFFIX[framework]) for folder in runs)
    path = next(filter(None, paths), None)
    print(f"resume: {path or 'there is no checkpoint to resume from; a new run'}", flush=True)
    return path


def resize_size(image_size: int) -> int:
    """Return the pixels of the shorter side before evaluation's centre crop: 256 for one of 224."""
    return round(image_size * 256 / 224)


def _fill_in(args: argparse.Namespace, values: dict) -> None:
    for name, value in values.items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)


def check_exists(parser: Parser, option: str, path: Path | None, kind: str = "file") -> None:
    """Leave with exit status 2 where a path is given and no such file or folder is there."""
    if path is not None and not (path.is_file() if kind == "file" else path.is_dir()):
        parser.error(f"--{option} {path}: there is no such {kind}")


def _check_paths(parser: Parser, args: argparse.Namespace) -> None:
    if args.data_path is not None and args.dataset:
        parser.error(
            "--data-path names images of your own and --dataset public ones; give one of them"
        )
    check_exists(parser, "data-path", args.data_path, "folder")
    check_exists(parser, "weights", args.weights)
    check_exists(parser, "resume", args.resume)
    if args.data_path is not None:
        args.data_path = args.data_path.resolve()
    if args.cache is not None and str(args.cache) != AUTO:
        args.cache = args.cache.resolve()
    if args.weights and args.resume:
        parser.error("--weights starts a new run and --resume continues one; give one of them")
    if args.eval_only and not (args.weights or args.resume):
        parser.error("--eval-only needs the weights to measure: --weights FILE or --resume FILE")
    if args.finetune and (args.eval_only or not args.weights):
        parser.error("--finetune trains on from weights: name them by --weights FILE")


def _hold(args: argparse.Namespace, folder: Path | None) -> None:
    """Keep other trainings out of a run folder that is there; the first of our processes does."""
    rank = os.environ.get("RANK") or os.environ.get("PADDLE_TRAINER_ID") or "0"
    if folder and folder.is_dir() and rank == "0" and not args.eval_only:  # which writes nothing
        with explained(f"--output-dir {folder}: cannot be written", "allow it", OSError):
            run_folder.hold(folder)


def _stored_arguments(parser: Parser, args: argparse.Namespace, framework: str, run: Path) -> dict:
    """Return the arguments of `run`, from its args.json; those given must be the same to resume."""
    stored = _read_stored(parser, run)
    if stored.get("framework") != framework:
        parser.error(f"--resume {args.resume or run}: a run of {stored.get('framework')}")
    longer = set() if stored.get("schedule") == "cosine" else {"epochs"}  # cosine ends with the run
    for name, value in vars(args).items():
        fixed = name not in CHANGEABLE | longer
        if args.resume and fixed and value is not None and value != stored.get(name):
            option = "--" + name.replace("_", "-")
            parser.error(
                f"{option} {value}: the run to resume has {stored.get(name)}, and resumes as it "
                f"was; leave {option} out"
            )
    if args.data_path:
        stored["dataset"] = None  # its images, moved to another place
    start = set() if args.resume else {"weights", "finetune"}
    names = [name for name in vars(args) if name not in CHANGEABLE - KEPT - start]
    return {name: stored.get(name) for name in names}


def _read_stored(parser: Parser, run: Path) -> dict:
    """Return the arguments in an args.json, each held to what its option takes."""
    try:
        text = (run / "args.json").read_text(encoding="utf-8")
        stored = json.loads(text)["arguments"]
        for action in parser._actions:
            if stored.get(action.dest) is not None:
                stored[action.dest] = _as_given(action, stored[action.dest])
        return stored
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        parser.error(
            f"--resume: the args.json of {run} is not there, or is damaged; "
            "put it there, or start a new run from the weights alone by --weights"
        )


def _as_given(action: argparse.Action, value: object) -> object:
    """Return a stored value as the command line would have given it. Raises ValueError."""
    is_switch = action.nargs == 0
    right = isinstance(value, (bool, str, int, float)) and isinstance(value, bool) == is_switch
    try:
        value = action.type(str(value)) if action.type else value
    except argparse.ArgumentTypeError:
        right = False
    if not right or (action.choices and value not in action.choices):
        raise ValueError(f"{action.dest} cannot be {value!r}")
    return value


def _mistakes(args: argparse.Namespace) -> Iterator[str]:
    """Yield what cannot be together in a run."""
    if args.data_path is None and not args.dataset and args.recipe != "sample":
        yield (
            f"the recipe {args.recipe} needs images: name their folder by --data-path, or a "
            "public data set by --dataset"
        )
    smallest = networks.SMALLEST[args.model]
    if args.image_size < smallest:
        size = args.image_size
        yield f"--image-size {size}: {args.model} takes images of {smallest} pixels or more"
    if args.warmup_epochs >= args.epochs:
        yield f"--warmup-epochs {args.warmup_epochs:g} leaves nothing of --epochs {args.epochs}"
    if args.schedule == "plateau" and args.warmup_epochs:
        yield "--schedule plateau has no warm-up: give --warmup-epochs 0"
    if args.schedule == "plateau" and args.lr_gamma == 1:
        yield "--schedule plateau needs a --lr-gamma below 1"
    if args.amp == "fp16" and args.device == "cpu":
        yield "--amp fp16 is for GPUs: on a processor use bf16 (torch), or none"
    if args.framework == "paddle" and args.channels_last:
        yield "--channels-last: torch alone has it; leave it out"
    if args.framework == "paddle" and args.tensorboard:
        yield "--tensorboard: torch alone has it; use --visualdl"
    if args.framework == "torch" and args.visualdl:
        yield "--visualdl is Paddle's board; use --tensorboard"
    if args.nesterov and not args.momentum:
        yield "--nesterov needs a --momentum above 0"
