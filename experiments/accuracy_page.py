"""The page beside the table of an accuracy baseline, in English and in Chinese."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.pages import markdown, spread
from portproof.runs import equivalence
from portproof.system.atomic import replace_whole, write_text

MARGIN, POWER = 0.15, 0.8  # points: what compare_runs takes; and the chance to show it
NAMES = {"torch": "PyTorch", "paddle": "PaddlePaddle"}
TWIN = {"en": "", "zh": ".zh-CN"}  # ends the name of a language's page
PAPER = (
    "https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-"
    "networks"
)
# (what, in English and in Chinese; top-1, top-5, source), on ImageNet's 50,000 validation pictures
# unless it says otherwise.
PUBLISHED = (
    ("torchvision, `AlexNet_Weights.IMAGENET1K_V1`", "torchvision，`AlexNet_Weights.IMAGENET1K_V1`",
     "56.522", "79.066", "https://docs.pytorch.org/vision/stable/models/alexnet.html"),
    ("PaddleClas, AlexNet", "PaddleClas，AlexNet",
     "56.7", "79.2", "https://github.com/PaddlePaddle/PaddleClas"),
    ("AlexNet-Prod, PaddlePaddle", "AlexNet-Prod，PaddlePaddle",
     "56.4", "79.0", "https://github.com/littletomatodonkey/AlexNet-Prod"),
    ("Caffe, bvlc_alexnet", "Caffe，bvlc_alexnet",
     "57.1", "80.2", "https://github.com/BVLC/caffe/tree/master/models/bvlc_alexnet"),
    ("the paper, one network, ten crops", "论文，单个网络，十个裁剪", "59.3", "81.8", PAPER),
    ("the paper, ILSVRC-2010's test set, ten crops", "论文，ILSVRC-2010 的测试集，十个裁剪",
     "62.5", "83.0", PAPER),
)  # fmt: skip
WORDS = {
    "en": {
        "head": (
            "recipe", "options", "framework", "seeds", "top-1, %", "top-5, %", "epochs", "images/s",
            "minutes",
        ),
        "to": " to ",
        "between": "; ",
        "difference": "`{set}`: PaddlePaddle's mean top-1 less PyTorch's is {points:+.2f} points",
        "interval": ", 95 % interval {low:+.2f} to {high:+.2f} (Welch); {said}.",
        "chance": "0 is in it, so these seeds cannot tell it from none",
        "more": "0 is not in it",
        "one": "; one seed has no spread.",
        "agree": " By an equivalence test (`tools/compare_runs.py`) they agree within {within:.2f} "
        "points: the 90 % interval is {low:+.2f} to {high:+.2f}; to show {margin:g} points takes "
        "{needed} seeds a side.",
        "timed": "{minutes} ({timed} of {all} timed)",
        "machine": "{cores} cores of {processor} ({versions})",
        "published": ("what", "top-1, %", "top-5, %", "source"),
    },
    "zh": {
        "head": (
            "配方", "选项", "框架", "种子", "top-1（%）", "top-5（%）", "epoch 数", "图片/秒",
            "分钟",
        ),
        "to": " 到 ",
        "between": "；",
        "difference": "`{set}`：PaddlePaddle 的平均 top-1 减去 PyTorch 的，"
        "为 {points:+.2f} 个百分点",
        "interval": "，95 % 区间 {low:+.2f} 到 {high:+.2f}（Welch 法）；{said}。",
        "chance": "区间含 0：凭这几个种子，看不出两者有差别",
        "more": "区间不含 0",
        "one": "；只有一个种子，没有离散程度可言。",
        "agree": "等价检验（`tools/compare_runs.py`）：两者相差不超过 {within:.2f} 个百分点，"
        "90 % 区间 {low:+.2f} 到 {high:+.2f}；若要证明不超过 {margin:g} 个百分点，"
        "每边需要 {needed} 个种子。",
        "timed": "{minutes}（{all} 次中 {timed} 次有计时）",
        "machine": "{processor} 的 {cores} 个核（{versions}）",
        "published": ("什么", "top-1（%）", "top-5（%）", "出处"),
    },
}  # fmt: skip

Row = dict[str, Any]
Sets = dict[tuple[str, str], dict[str, list[Row]]]  # by (recipe, options), then by framework


def write(path: Path, rows: list[Row]) -> list[Path]:
    """Write the pages beside the table `path`, each whole or not at all, and return their paths."""
    pages = []
    for language, twin in TWIN.items():
        pages.append(path.with_name(f"{path.stem}{twin}.md"))
        with replace_whole(pages[-1]) as partial:
            write_text(partial, page(language, path.stem, rows))
    return pages


def page(language: str, stem: str, rows: list[Row]) -> str:
    """Return the page of the trainings in `rows`; `stem` is the table's name without its end."""
    words = WORDS[language]
    sets: Sets = {}
    for row in rows:
        by_framework = sets.setdefault((row["recipe"], row["options"]), {})
        by_framework.setdefault(row["framework"], []).append(row)
    differences = [
        difference(language, recipe, options, by_framework)
        for (recipe, options), by_framework in sets.items()
        if len(by_framework) == len(NAMES)
    ]
    template = Path(__file__).with_name(f"accuracy.{language}.md").read_text(encoding="utf-8")
    return template.format(
        stem=stem,
        table=table(language, sets),
        differences="".join(f"{one}\n\n" for one in differences),
        pictures=words["between"].join(dict.fromkeys(row["pictures"] for row in rows)),
        machines=words["between"].join(machines(language, rows)),
        commands="\n".join(dict.fromkeys(command(row) for row in rows)),
        published=published(language),
    )


def table(language: str, sets: Sets) -> str:
    """Return a line for each set of trainings that differ by the seed alone."""
    lines = [WORDS[language]["head"]]
    for (recipe, options), by_framework in sets.items():
        for framework, group in by_framework.items():
            seeds = " ".join(sorted((str(row["seed"]) for row in group), key=int))
            epochs = " ".join(dict.fromkeys(str(row["epochs"]) for row in group))
            cells = [recipe, f"`{options}`" if options else "", NAMES[framework], seeds]
            cells += [spread(list(values(group, name))) for name in ("val_top1", "val_top5")]
            cells += [epochs, f"{np.median(values(group, 'images_per_s')):.0f}"]
            lines.append([*cells, minutes(language, group)])
    return markdown(lines)


def minutes(language: str, group: list[Row]) -> str:
    """Return the least and the most minutes of a set; a training may have no time."""
    words = WORDS[language]
    timed = [one for one in group if one["seconds"]]
    if not timed:
        return "–"
    found = values(timed, "seconds") / 60
    told = words["to"].join(dict.fromkeys(f"{one:.0f}" for one in (min(found), max(found))))
    if len(timed) == len(group):
        return told
    return words["timed"].format(minutes=told, timed=len(timed), all=len(group))


def published(language: str) -> str:
    """Return what others publish, a line each."""
    place = list(TWIN).index(language)
    lines = [(one[place], *one[len(TWIN) :]) for one in PUBLISHED]
    return markdown([WORDS[language]["published"], *lines])


def values(group: list[Row], name: str) -> np.ndarray:
    """Return one number of each training of a set, [trainings]."""
    return np.array([float(row[name]) for row in group])


def difference(language: str, recipe: str, options: str, by_framework: dict[str, list[Row]]) -> str:
    """Return what the frameworks differ by, and how far that shows that they agree."""
    words = WORDS[language]
    left, right = (values(by_framework[name], "val_top1") for name in NAMES)
    outcome = equivalence.compare(left, right, margin=0.0)
    told = words["difference"].format(set=f"{recipe} {options}".strip(), points=outcome.difference)
    if outcome.equality is None:
        return told + words["one"]
    low, high = outcome.equality
    said = words["chance" if low <= 0 <= high else "more"]
    told += words["interval"].format(low=low, high=high, said=said)
    low, high = outcome.agreement
    deviations = [equivalence.deviation(side) for side in (left, right)]
    needed = equivalence.runs_needed(deviations, MARGIN, POWER) or f"> {equivalence.MOST:,}"
    return told + words["agree"].format(
        within=max(abs(low), abs(high)), low=low, high=high, margin=MARGIN, needed=needed
    )


def machines(language: str, rows: Iterable[Row]) -> list[str]:
    """Return what the trainings ran on, each machine once."""
    return list(dict.fromkeys(WORDS[language]["machine"].format(**row) for row in rows))


def command(row: Row) -> str:
    """Return the command of a training, one for all seeds."""
    return row["command"].replace(f"--seed {row['seed']}", "--seed SEED", 1)
