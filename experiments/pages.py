"""The results of the claims as pages, in English and in Chinese."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from common.paths import DATA_DIR
from experiments.plan import ARMS, FRAMEWORKS, HALF_PARAMETERS, PARAMETERS
from experiments.runs import Result
from experiments.verdicts import CONTRARY, NOT_HERE, REPRODUCED, TOO_FEW, Effect, verdict

GROUPS = (*FRAMEWORKS, "both")  # columns of the table
NAMES = {"torch": "PyTorch", "paddle": "PaddlePaddle", "both": "both together"}
GOAL_ARMS = ("relu", "tanh")
SHORT = {  # in the plot
    "relu": "ReLU against tanh",
    "norm": "response normalization",
    "pooling": "overlapping pooling",
    "dropout": "dropout",
    "colour": "colour noise",
    "groups": "groups against half width",
    "crops": "ten crops against one",
}
CLAIM = {
    "en": {
        "relu": "ReLU in place of tanh: times fewer epochs to 25 % training error",
        "norm": "local response normalization: points of error less",
        "pooling": "pooling windows that overlap: points of error less",
        "dropout": "dropout: points of overfitting less (error on val minus error on train)",
        "colour": "colour noise: points of error less",
        "groups": "twice the kernels in two groups: points of error less",
        "crops": "ten crops in place of the centre: points of error less",
    },
    "zh": {
        "relu": "ReLU 代替 tanh：达到 25 % 训练错误率，tanh 所需轮数是 ReLU 的几倍",
        "norm": "局部响应归一化：错误率降低的百分点",
        "pooling": "重叠池化：错误率降低的百分点",
        "dropout": "dropout：过拟合（验证错误率减训练错误率）减少的百分点",
        "colour": "颜色扰动：错误率降低的百分点",
        "groups": "卷积核加倍、分两组：错误率降低的百分点",
        "crops": "十个裁剪代替中心裁剪：错误率降低的百分点",
    },
}
PAPER = {
    "en": {
        "relu": "6",
        "norm": "1.4",
        "pooling": "0.4",
        "dropout": "“substantial”, no figure",
        "colour": "over 1",
        "groups": "1.7",
        "crops": "1.5",
    },
    "zh": {
        "relu": "6",
        "norm": "1.4",
        "pooling": "0.4",
        "dropout": "“substantial”（严重），无数字",
        "colour": "1 以上",
        "groups": "1.7",
        "crops": "1.5",
    },
}
WORDS = {
    "en": {
        "head": ("claim", "the paper", "PyTorch", "PaddlePaddle", "both together"),
        "arms": (
            "training", "framework", "runs", "error on val, %", "error on train, %",
            "epochs to 25 %",
        ),
        REPRODUCED: "reproduced", CONTRARY: "contrary", NOT_HERE: "not at this scale",
        TOO_FEW: "too few seeds", "more": "more than ", "less": "less than ", "to": " to ",
        "none": "runs of both miss 25 %",
    },
    "zh": {
        "head": ("论断", "论文", "PyTorch", "PaddlePaddle", "两者合计"),
        "arms": ("训练", "框架", "次数", "验证错误率，%", "训练错误率，%", "达到 25 % 的轮数"),
        REPRODUCED: "复现", CONTRARY: "相反", NOT_HERE: "此规模下未见",
        TOO_FEW: "种子太少", "more": "大于 ", "less": "小于 ", "to": " 至 ",
        "none": "两边都有训练未达到 25 %",
    },
}  # fmt: skip
ARM = {
    "en": {
        "base": "all of the paper's ideas",
        "no-norm": "without response normalization",
        "plain-pooling": "pooling windows of 2, stride 2",
        "no-dropout": "without dropout",
        "no-colour": "without colour noise",
        "half-width": "half of the kernels, no groups",
        "relu": "four layers, ReLU",
        "tanh": "four layers, tanh",
    },
    "zh": {
        "base": "论文的全部做法",
        "no-norm": "去掉响应归一化",
        "plain-pooling": "池化窗口 2，步长 2",
        "no-dropout": "去掉 dropout",
        "no-colour": "去掉颜色扰动",
        "half-width": "卷积核减半，不分组",
        "relu": "四层，ReLU",
        "tanh": "四层，tanh",
    },
}


def page(
    language: str,
    effects: dict[str, dict[str, Effect | None]],
    results: Sequence[Result],
    pictures: dict,
) -> str:
    """Return the whole page; `pictures` says where they are from and how many there are."""
    first = results[0]
    machine = first["machine"]
    of = Path(pictures["of"])
    epochs = {one["arm"]: one["epochs"] for one in results}
    template = Path(__file__).with_name(f"claims.{language}.md").read_text(encoding="utf-8")
    return template.format(
        table=table(language, effects),
        arms=arms_table(language, results),
        data=of.name,
        option="--dataset" if of.parent == DATA_DIR else "--data-path",
        train=f"{pictures['train']:,}",
        val=f"{pictures['val']:,}",
        parameters=f"{PARAMETERS:,}",
        half=f"{HALF_PARAMETERS:,}",
        rate=ARMS["base"].options["--lr"],
        epochs=epochs.get("base", ARMS["base"].epochs),
        four_epochs=epochs.get("relu", ARMS["relu"].epochs),
        lr_relu=ARMS["relu"].options["--lr"],
        lr_tanh=ARMS["tanh"].options["--lr"],
        processor=machine["processor"],
        cores=machine["cores"],
        versions=", ".join(f"{name} {v}" for name, v in first["versions"].items()),
    )


def table(language: str, effects: dict[str, dict[str, Effect | None]]) -> str:
    """Return the effects and verdicts as a Markdown table."""
    rows = [WORDS[language]["head"]]
    for claim, found in effects.items():
        cells = [cell(language, found[name]) if name in found else "" for name in GROUPS]
        rows.append((CLAIM[language][claim], PAPER[language][claim], *cells))
    return markdown(rows)


def cell(language: str, effect: Effect | None) -> str:
    """Return an effect with its interval and verdict."""
    words = WORDS[language]
    said = f"**{words[verdict(effect)]}**"
    if effect is None:
        return f"{said}: {words['none']}"
    value = number(effect, effect.value)
    if effect.bound:
        return f"{said}: {words[effect.bound]}{value}"
    if not math.isfinite(effect.low):
        return f"{said}: {value}"
    return (
        f"{said}: {value} ({number(effect, effect.low)}{words['to']}{number(effect, effect.high)})"
    )


def number(effect: Effect, value: float) -> str:
    """Return a ratio as it is, a difference with its sign."""
    return f"{value:.2f}" if effect.none else f"{value:+.2f}"


def arms_table(language: str, results: Sequence[Result]) -> str:
    """Return each arm's means over its seeds, with their standard deviations."""
    rows = [WORDS[language]["arms"]]
    for arm in ARMS:
        for framework in FRAMEWORKS:
            own = [r for r in results if (r["arm"], r["framework"]) == (arm, framework)]
            if not own:
                continue
            reached = spread([one["epochs_to_goal"] for one in own]) if arm in GOAL_ARMS else ""
            rows.append(
                (
                    ARM[language][arm],
                    NAMES[framework],
                    str(len(own)),
                    spread([one["val_error"] for one in own]),
                    spread([one.get("train_error") for one in own]),
                    reached,
                )
            )
    return markdown(rows)


def spread(values: Sequence[float | None]) -> str:
    """Return mean and standard deviation, "–" where a value is missing."""
    if None in values:
        return "–"
    mean = statistics.mean(values)
    return f"{mean:.2f} ± {statistics.stdev(values):.2f}" if len(values) > 1 else f"{mean:.2f}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *others = rows
    lines = [head, ["---"] * len(head), *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
