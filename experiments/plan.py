"""What is compared: a claim of the paper is one thing that differs between two trainings."""

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

GOAL = 25.0  # per cent of training error, of the paper's figure 1

# Every training: crops of 28 of the 32 pixels, unscaled, at a drawn place and mirrored or not.
COMMON = {"--recipe": "paper", "--image-size": 28, "--batch-size": 64}
SMALL = {"--model": "small", "--lr": 0.02, "--schedule": "cosine", "--warmup-epochs": 1}
PARAMETERS, HALF_PARAMETERS = 446_826, 373_978  # of `small` and of `small-half-width`, ten classes
# The paper: "no regularization of any kind", so neither shifted crops nor mirroring; and for either
# network the rate that makes it fastest.
# `--search-rates` has tried RATES; its result is docs/results/claims-rates.csv.
FOUR_LAYERS = {"--dropout": 0, "--weight-decay": 0, "--colour-noise": 0, "--train-crop": "centre"}
FOUR_LAYERS |= {"--schedule": "step", "--lr-step-size": 1000}  # the rate stays as it is
RATES = (0.003, 0.01, 0.03)
SEARCH_SEED, SEARCH_EPOCHS = 100, 8  # the seed is none of those that are compared


class Arm(NamedTuple):
    """A way to train: options of train.py, epochs, and what is measured after the training."""

    options: dict[str, object]
    epochs: int
    then: tuple[str, ...] = ()  # "train_error" in evaluation mode; "ten_crop_error"


ARMS = {
    "base": Arm(SMALL, 18, ("train_error", "ten_crop_error")),
    "no-norm": Arm(SMALL | {"--model": "small-no-norm"}, 18),
    "plain-pooling": Arm(SMALL | {"--model": "small-plain-pooling"}, 18),
    "no-dropout": Arm(SMALL | {"--dropout": 0}, 18, ("train_error",)),
    "no-colour": Arm(SMALL | {"--colour-noise": 0}, 18),
    "half-width": Arm(SMALL | {"--model": "small-half-width"}, 18),
    "relu": Arm(FOUR_LAYERS | {"--model": "four-layers", "--lr": 0.01}, 20),
    "tanh": Arm(FOUR_LAYERS | {"--model": "four-layers-tanh", "--lr": 0.01}, 20),
}


class Claim(NamedTuple):
    """A claim: a column of the results of the arm `without` the idea, against the arm `with_` it.

    The effect is without - with, in points, or for epochs without / with; `paper` has the paper's.
    """

    title: str
    with_: str
    without: str
    measure: tuple[str, str]  # the column of the arm with the idea, of the one without
    paper: float | None  # None: the paper gives no figure

    @property
    def is_ratio(self) -> bool:
        return self.measure == EPOCHS


EPOCHS, ERROR = ("epochs_to_goal", "epochs_to_goal"), ("val_error", "val_error")
OVERFITTING, CROPS = ("overfitting", "overfitting"), ("ten_crop_error", "val_error")
CLAIMS = {
    "relu": Claim("ReLU against tanh", "relu", "tanh", EPOCHS, 6.0),
    "norm": Claim("response normalization", "base", "no-norm", ERROR, 1.4),
    "pooling": Claim("overlapping pooling", "base", "plain-pooling", ERROR, 0.4),
    "dropout": Claim("dropout", "base", "no-dropout", OVERFITTING, None),
    "colour": Claim("colour noise", "base", "no-colour", ERROR, 1.0),
    "groups": Claim("groups against half width", "base", "half-width", ERROR, 1.7),
    "crops": Claim("ten crops against one", "base", "base", CROPS, 1.5),
}


class Run(NamedTuple):
    """One training of an arm."""

    arm: str
    framework: str
    seed: int
    options: dict[str, object]
    epochs: int
    then: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.framework}-{self.seed}"


def runs_of(
    claims: Iterable[str], frameworks: Iterable[str], seeds: Iterable[int], epochs: int | None
) -> list[Run]:
    """Return the trainings that the claims need, each once; `epochs` replaces the arms' own.

    A whole seed comes before the next, so what a budget leaves out is a seed and not a claim.
    """
    wanted = {arm for claim in claims for arm in (CLAIMS[claim].with_, CLAIMS[claim].without)}
    arms = [(name, arm) for name, arm in ARMS.items() if name in wanted]
    return [
        Run(name, framework, seed, COMMON | arm.options, epochs or arm.epochs, arm.then)
        for seed, (name, arm), framework in product(seeds, arms, frameworks)
    ]


def search_runs(framework: str, epochs: int | None) -> list[Run]:
    """Return the trainings by which the learning rates of the four-layer networks are chosen."""
    runs = []
    for name, rate in product(("relu", "tanh"), RATES):
        options = COMMON | ARMS[name].options | {"--lr": rate}
        arm, epochs = f"{name}-{rate:g}", epochs or SEARCH_EPOCHS
        runs.append(Run(arm, framework, SEARCH_SEED, options, epochs))
    return runs


def claims_of(arm: str) -> list[str]:
    """Return the claims that an arm serves."""
    return [name for name, claim in CLAIMS.items() if arm in (claim.with_, claim.without)]
