"""The cases of tests/net.py: what each runs in a copy of a work tree, and what of it is compared.

Nothing of either tree is imported here: its files move. Each function takes a Tree and returns what
JSON can hold, without times and paths.
"""

import csv
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Result = dict[str, Any]

SUFFIX = {"torch": ".pth", "paddle": ".pdparams"}
OTHER = {"torch": "paddle", "paddle": "torch"}
FORMATS = {
    "torch": {"onnx": ".onnx", "pt2": ".pt2"},
    "paddle": {"onnx": ".onnx", "inference": ".inference"},  # a folder
}
LAUNCH = {
    "torch": "-m torch.distributed.run --standalone --nproc-per-node 2",
    "paddle": "-m paddle.distributed.launch --nproc_per_node 2 --log_dir {out}/logs",
}
TIMEOUT = 1800  # seconds after which a command counts as hanging

IMAGES = {"train": 41, "val": 16}  # 41: the last batch of 8 holds one
COMMON = "--batch-size 8 --epochs 2 --workers 0 --device cpu --keep 1 --data-path {data}"
SMALL = "--recipe sample --model small --image-size 28"
FULL = "--recipe sample"  # alexnet at 64 pixels
TRAININGS = {
    "plain": f"{FULL} --workers 2",
    "fast": f"{FULL} --fast",
    "channels-last": f"{FULL} --channels-last",
    "amp": f"{FULL} --amp bf16",
    "paper": "--recipe paper --image-size 67 --epochs 1",
    "accumulate": f"{SMALL} --accumulate 2",
    "ema": f"{SMALL} --ema 0.9",
    "clip-grad": f"{SMALL} --clip-grad 0.5",
    "nesterov": f"{SMALL} --nesterov",
    "label-smoothing": f"{SMALL} --label-smoothing 0.1",
    "cache": f"{SMALL} --cache {{out}}/cache",
    "skip-bad": f"{SMALL} --skip-bad 1 --data-path {{inputs}}/damaged",
    "plateau": f"{SMALL} --schedule plateau --warmup-epochs 0 --lr-patience 0 --epochs 4",
    "colour-noise": f"{SMALL} --colour-noise 0.1",
    "shifted": f"{SMALL} --train-crop shifted",
    "eval-crops": f"{SMALL} --eval-crops 10",
    "two-processes": SMALL,
    "split-batch": f"{SMALL} --split-batch",
}
TWO_PROCESSES = ("two-processes", "split-batch")
TORCH_ALONE = ("channels-last", "amp")
TOOLS = {
    "align-alexnet": "align",
    "align-alexnet-paper": "align --model alexnet-paper",
    "forward-alexnet": "compare_forward",
    "forward-alexnet-paper": "compare_forward --model alexnet-paper",
    "forward-libraries": "compare_forward --torch-model torchvision.models:resnet18 "
    "--paddle-model paddle.vision.models:resnet18 --image-size 64 --second-image-size 96",
    "data": "compare_data --data-path {data} --limit 0 --batch-size 8",
    "data-sample": "compare_data --limit 30",
    "training-alexnet": "compare_training --steps 3",
    "training-alexnet-paper": "compare_training --steps 3 --model alexnet-paper",
    "runs": "compare_runs {inputs}/a0,{inputs}/a1,{inputs}/a2 {inputs}/b0,{inputs}/b1,{inputs}/b2",
    "runs-against": "compare_runs --a {inputs}/a0 {inputs}/a1 --against 56.5 --epoch best",
    "convert-check": "convert_project {inputs}/project --check",
}
MISTAKES = (  # train, predict and export: of both trees
    "train --epochs 0",
    "train --epoch 3",
    "train --model nothing",
    "train --image-size 20",
    "train --data-path /nowhere",
    "train --resume /nowhere.pth",
    "train --eval-only",
    "train --finetune",
    "train --recipe imagenet",
    "train --amp fp16 --device cpu",
    "train --schedule plateau",
    "train --channels-last --tensorboard --visualdl",
    "train --weights {inputs}/a0/metrics.jsonl --device cpu",
    "train --output-dir {inputs}/a0 --device cpu --data-path {data} --recipe sample",
    "predict {data}",
    "predict /nowhere --weights {inputs}/a0/metrics.jsonl",
    "export --weights /nowhere.pth --format onnx",
    "export --weights x --format tflite",
    "tools/align.py --only nothing",
    "tools/align.py --weights /nowhere.pth",
    "tools/align.py --image-size 64 --model alexnet-paper",
    "tools/compare_runs.py 56.5",
    "tools/compare_runs.py {inputs}/a0 {inputs}/project",
    "tools/compare_data.py --limit -1",
    "tools/compare_training.py --steps 0",
    "tools/compare_forward.py --input-shape x",
    "tools/compare_forward.py --torch-model torch.nn:Nothing --paddle-model paddle.nn:ReLU",
    "tools/transfer_weights.py /nowhere.pth {out}/x.pdparams",
    "tools/convert_project.py /nowhere",
    "scripts/train.sh --processes 2",
    "scripts/train.sh --framework jax",
)
SCRIPTS = ("AlexNet-torch", "AlexNet-paddle", "tools", "scripts")  # folders of commands
MODULES = ("experiments", "homework", "benchmarks", "common")  # the same, by python -m
# Parts of the tools, and what takes no options and would run.
NO_COMMAND = {"layers.py", "probe.py", "doctor.py", "help.sh", "scaling.py", "transfer.py"}

# Words before a time or a speed, or the unit behind it.
TIME = re.compile(r"((?:images_per_s|\w*seconds)(?: |` \| ))[\d.e+-]+|[\d.]+(?= ?(?:ms|s)\b)")
TIME_KEYS = re.compile(r".*seconds|images_per_s|versions")  # of JSON
# A warning that hangs on time, and what launchers and frameworks say of themselves.
NOISE = re.compile(
    r"warning: \d+ % of the epoch waited|.*Warning: |  warn|LAUNCH |-{20}|={20}|FLAGS\("
    r"|(\S+ )?[IWE]\d{4} "
)
CHECKPOINT = re.compile(r"(checkpoint-\d+-)[0-9a-f]{8}")  # the file holds times, so its CRC differs

RUN_EXPORTED = """
import glob, sys, zlib
import numpy as np
path, size = sys.argv[1], int(sys.argv[2])
images = np.random.default_rng(0).standard_normal((3, 3, size, size)).astype("float32")
if path.endswith(".onnx"):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    logits = session.run(None, {session.get_inputs()[0].name: images})[0]
elif path.endswith(".pt2"):
    import torch
    logits = torch.export.load(path).module()(torch.from_numpy(images)).detach().numpy()
else:
    import paddle
    model = paddle.jit.load(glob.glob(path + "/*.json")[0].removesuffix(".json"))
    logits = model(paddle.to_tensor(images)).numpy()
print(logits.shape, f"{zlib.crc32(np.ascontiguousarray(logits).tobytes()):08x}")
"""


@dataclass(frozen=True)
class Tree:
    """A copy of a work tree, the files that all cases read, and a folder for what they write."""

    root: Path
    inputs: Path
    out: Path
    faults: Path  # the table of the fault matrix

    def fill(self, words: str) -> list[str]:
        """Return the words of a command, its folders filled in."""
        folders = {"data": self.inputs / "data", "inputs": self.inputs, "out": self.out}
        return words.format(**folders).split()

    def start(self, *words: object) -> subprocess.Popen:
        """Start a script, or Python with `words`; what it imports of the project is this tree's."""
        program = "bash" if str(words[0]).endswith(".sh") else sys.executable
        environment = os.environ | {"PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [program, *map(str, words)]
        return subprocess.Popen(command, env=environment, cwd=self.out, **pipes)

    def run(self, *words: object) -> Result:
        """Run a command to its end; return its status and what it printed."""
        return self.finish(self.start(*words))

    def finish(self, process: subprocess.Popen) -> Result:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        return {"status": process.returncode, "out": self.lines(out), "err": self.lines(err)}

    def lines(self, text: str) -> list[str]:
        """Return the lines of a text without what may differ from run to run."""
        for path, name in ((self.out, "OUT"), (self.inputs, "IN"), (self.root, "TREE")):
            text = text.replace(str(path), name)
        text = CHECKPOINT.sub(r"\1CRC", TIME.sub(r"\1T", text))
        return [line for line in text.splitlines() if not NOISE.match(line)]

    def json(self, text: str) -> Any:
        """Return JSON without times and paths; the lines of what is none."""
        try:
            return without_times(json.loads("\n".join(self.lines(text))))
        except ValueError:
            return self.lines(text)


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if not TIME_KEYS.fullmatch(key)}
        return {key: without_times(item) for key, item in kept.items()}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def read(path: Path) -> str:
    """Return the text of a file; none where it is missing, which is then the difference."""
    return path.read_text() if path.exists() else ""


def crc(value: Any, before: int = 0) -> int:
    """Return the CRC-32 of all numbers in nested containers, by sorted keys."""
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            before = crc(value[key], zlib.crc32(str(key).encode(), before))
        return before
    if isinstance(value, (list, tuple)):
        if len(value) == 2 and isinstance(value[1], np.ndarray):
            value = value[1:]  # Paddle's automatic names count the layers that a process has made
        for item in value:
            before = crc(item, before)
        return before
    if hasattr(value, "detach"):
        value = value.detach().contiguous().numpy()
    is_array = isinstance(value, np.ndarray)
    return zlib.crc32(value.tobytes() if is_array else repr(value).encode(), before)


def digest(path: Path) -> Result:
    """Return the CRC of each part of a file of weights, and the counts of a checkpoint."""
    if not path.exists():
        return {}
    if path.suffix == ".pdparams":
        contents = pickle.loads(path.read_bytes())
    elif path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        contents = load_file(path)
    else:
        import torch

        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    plain = (int, float, str, list)
    return {
        name: part if isinstance(part, plain) else f"{crc(part):08x}"
        for name, part in contents.items()
        if name not in ("arguments", "seconds")  # paths, which args.json has too, and times
    }


def file_crc(path: Path) -> str | None:
    return f"{zlib.crc32(path.read_bytes()):08x}" if path.exists() else None


def train(tree: Tree, framework: str, options: str, count: int = 1, name: str = "run") -> Result:
    """Train in `count` processes into OUT/`name`; return all that is to be compared."""
    launch = LAUNCH[framework] if count > 1 else ""
    script = f"{tree.root}/AlexNet-{framework}/train.py"
    words = f"{launch} {script} {COMMON} {options} --output-dir {{out}}/{name}"
    done = tree.run(*tree.fill(words))
    return done | run_folder(tree, tree.out / name, framework)


def run_folder(tree: Tree, run: Path, framework: str) -> Result:
    """Return what a run has left in its folder."""
    args = tree.json(read(run / "args.json")) or {}
    if "command" in args:
        args["command"] = None  # it is the options, which are compared; the key is to stay
    bad = run / "bad_pictures.jsonl"
    left_out = {"bad pictures": tree.lines(read(bad))} if bad.exists() else {}
    return left_out | {
        "files": sorted({CHECKPOINT.sub(r"\1CRC", path.name) for path in run.glob("*")}),
        "args": args,
        "metrics": [tree.json(line) for line in read(run / "metrics.jsonl").splitlines()],
        "card": tree.lines(read(run / "model_card.md")),
        "misclassified": f"{crc(tree.lines(read(run / 'misclassified.html'))):08x}",
        "curves": file_crc(run / "curves.png"),
        "last": digest(run / f"last{SUFFIX[framework]}"),
        "best": digest(run / f"best{SUFFIX[framework]}"),
    }


def train_stopped(tree: Tree, framework: str) -> Result:
    """Stop a training by SIGTERM in the middle of an epoch, and resume it."""
    script, run = f"{tree.root}/AlexNet-{framework}/train.py", tree.out / "run"
    options = f"{COMMON} {SMALL} --batch-size 1 --ema 0.9 --save-every 1 --output-dir {run}"
    process = tree.start(script, *tree.fill(options))
    while process.poll() is None and not list(run.glob("checkpoint-0000000[5-9]*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    stopped = tree.finish(process)
    steps = [int(path.name.split("-")[1]) for path in run.glob("checkpoint-*")]
    stopped["in the middle"] = bool(steps) and 0 < max(steps) < IMAGES["train"]
    resumed = tree.run(script, "--resume", "auto", "--output-dir", run)
    resumed |= run_folder(tree, run, framework)
    by_chance = re.compile(r"(checkpoint-|step )\d+")  # the step that was the last one
    stopped["err"] = [by_chance.sub(r"\1N", line) for line in stopped["err"]]
    resumed["out"] = [by_chance.sub(r"\1N", line) for line in resumed["out"]]
    arguments = resumed["args"].get("arguments", {})
    arguments["resume"] = by_chance.sub(r"\1N", str(arguments.get("resume")))
    return {"stopped": stopped, "resumed": resumed}


def use(tree: Tree, framework: str, model: str, size: int) -> Result:
    """Train, then use the weights in every way: train on, evaluate, predict, export, transfer."""
    options = f"--recipe sample --model {model} --image-size {size} --epochs 1"
    found = {"train": train(tree, framework, options)}
    best = tree.out / "run" / f"best{SUFFIX[framework]}"
    script = f"{tree.root}/AlexNet-{framework}/train.py"
    evaluate = f"--eval-only --weights {best} {COMMON} {options}"
    found["eval-only"] = tree.run(script, *tree.fill(evaluate))
    for name, more in (("weights", ""), ("finetune", "--finetune")):
        found[name] = train(tree, framework, f"{options} --weights {best} {more}", name=name)
        shutil.rmtree(tree.out / name, ignore_errors=True)  # 1.4 GB
    found["predict"] = predict(tree, framework, best)
    for form, ending in FORMATS[framework].items():
        path = tree.out / f"{form}-model{ending}"
        found[f"export {form}"] = export(tree, framework, best, path) | {
            "logits": tree.run("-c", RUN_EXPORTED, path, size)["out"]
        }
    found["predict by the other tree"] = predict(
        tree, OTHER[framework], tree.out / "onnx-model.onnx"
    )
    for ending in (SUFFIX[OTHER[framework]], ".safetensors"):
        found[f"transfer to {ending}"] = transfer(tree, best, ending, model)
    return found


def predict(tree: Tree, framework: str, weights: Path) -> Result:
    script = tree.root / f"AlexNet-{framework}" / "predict.py"
    answers, plot = tree.out / "answers.json", tree.out / "plot.png"
    options = ("--weights", weights, "--json", answers, "--plot", plot)
    done = tree.run(script, tree.inputs / "data" / "val", *options)
    done |= {"json": tree.json(read(answers)), "plot": file_crc(plot)}
    for path in (answers, plot):
        path.unlink(missing_ok=True)
    return done


def export(tree: Tree, framework: str, weights: Path, path: Path) -> Result:
    """Export weights to `path`, and predict by what was exported."""
    script = tree.root / f"AlexNet-{framework}" / "export.py"
    form = path.name.partition("-")[0]
    data = ("--data-path", tree.inputs / "data")
    done = tree.run(script, "--weights", weights, "--format", form, "--output", path, *data)
    files = tree.out.glob(f"{path.name}*") if path.is_file() else path.glob("*")
    found = {"files": sorted(file.name for file in files)}
    return done | found | {"predict": predict(tree, framework, path)}


def transfer(tree: Tree, weights: Path, ending: str, model: str) -> Result:
    target = tree.out / f"transferred{ending}"
    script = tree.root / "tools" / "transfer_weights.py"
    done = tree.run(script, weights, target, "--model", model, "--json")
    return done | {"out": tree.json("\n".join(done["out"])), "tensors": digest(target)}


def tool(tree: Tree, words: str) -> Result:
    """Run a tool with --json; return its result."""
    name, *options = tree.fill(words)
    result = tree.out / "result.json"
    done = tree.run(tree.root / "tools" / f"{name}.py", *options, "--json", result)
    return {"status": done["status"], "json": tree.json(read(result))}


def option_names(tree: Tree) -> Result:
    """Return the names of the options of every command, and what --help of a shell script says."""
    found = {}
    folders = SCRIPTS + MODULES
    for path in sorted(path for folder in folders for path in (tree.root / folder).glob("*.*")):
        is_script = path.suffix == ".sh"
        is_python = path.suffix == ".py" and "\nif __name__ ==" in path.read_text()
        if path.name in NO_COMMAND or not (is_script or is_python):
            continue
        is_module = path.parent.name in MODULES
        words = ("-m", f"{path.parent.name}.{path.stem}") if is_module else (path,)
        done = tree.run(*words, "--help")
        names = re.findall(r"(?<![\w-])--[a-z][\w-]*", "\n".join(done["out"]))
        said = done["out"] if is_script else sorted(set(names))
        found[str(path.relative_to(tree.root))] = {"status": done["status"], "options": said}
    return found


def mistakes(tree: Tree, commands: tuple[str, ...]) -> Result:
    """Return the exit status and the last line on standard error of wrong uses."""
    found = {}
    for command in commands:
        name, *options = tree.fill(command)
        trees = {f"{framework} ": f"AlexNet-{framework}/{name}.py" for framework in SUFFIX}
        for which, script in ({"": name} if "/" in name else trees).items():
            done = tree.run(tree.root / script, *options)
            found[which + command] = {"status": done["status"], "err": done["err"][-1:]}
    return found


def faults(tree: Tree) -> Result:
    """Return the table of the fault matrix by row, without its times."""
    with open(tree.faults, newline="") as file:
        rows = list(csv.DictReader(file))
    fields = ("expected", "first", "caught", "named", "told")
    return {
        f"{row['kind']} {row['row']} {row['name']}": {field: row[field] for field in fields}
        for row in rows
    }


def make_cases() -> dict[str, Callable[[Tree], Result]]:
    """Return all cases by name."""
    cases: dict[str, Callable[[Tree], Result]] = {}
    for framework in SUFFIX:
        for name, options in TRAININGS.items():
            if framework == "torch" or name not in TORCH_ALONE:
                count = 2 if name in TWO_PROCESSES else 1
                case = partial(train, framework=framework, options=options, count=count)
                cases[f"train-{framework}-{name}"] = case
        cases[f"train-{framework}-stopped"] = partial(train_stopped, framework=framework)
        for model, size in (("alexnet", 64), ("alexnet-paper", 67)):
            case = partial(use, framework=framework, model=model, size=size)
            cases[f"use-{framework}-{model}"] = case
    cases |= {name: partial(tool, words=words) for name, words in TOOLS.items()}
    cases["options"] = option_names
    cases["mistakes"] = partial(mistakes, commands=MISTAKES)
    return cases | {"faults": faults}


def make_inputs(folder: Path) -> None:
    """Write what the cases read: images, the same with a damaged one, logs of runs, a project."""
    draws = np.random.default_rng(0)
    for split, count in IMAGES.items():
        for number in range(count):
            path = folder / "data" / split / f"class{number % 5}" / f"{number:02}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = draws.integers(0, 256, (12, 10 + number % 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((90 + number % 4 * 7, 96)).save(path, quality=90)
    shutil.copytree(folder / "data", folder / "damaged")
    damaged = folder / "damaged" / "train" / "class1" / "01.jpg"
    damaged.write_bytes(damaged.read_bytes()[:700])
    for name in ("a0", "a1", "a2", "b0", "b1", "b2"):
        (folder / name).mkdir()
        last = draws.normal(56, 0.1)
        with open(folder / name / "metrics.jsonl", "w") as file:
            for epoch, top1 in enumerate((20.0, last + 0.5, last), 1):
                losses = {"train_loss": 2 / epoch, "val_loss": 2.1 / epoch}
                row = {"epoch": epoch, **losses, "val_top1": top1, "val_top5": top1 + 20}
                file.write(json.dumps(row) + "\n")
    (folder / "project").mkdir()
    (folder / "project" / "net.py").write_text(PROJECT)


PROJECT = """
from torch import nn
from torch.utils.tensorboard import SummaryWriter


class Net(nn.Module):
    def forward(self, x):
        mask = ~(x > 0) & (x < 1)
        return x[mask].new_zeros(3).to("cuda")
"""
