"""Export a trained model to a format that runs without this tree, checked against the live model.

    python AlexNet-torch/export.py --weights runs/NAME/best.pth --format onnx
    python AlexNet-torch/export.py --weights runs/NAME/best.pth --format pt2 --output alexnet.pt2

All options: --help. Exit status 1: the exported model differs from the live one; nothing is kept.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

import checkpoint
import presets
from common import networks
from common.data import folder, synthetic
from common.inference import exports, metadata, onnx_models
from common.inference.exports import Exported
from common.inference.metadata import ModelMetadata
from common.inference.use_args import parse_export
from common.training import model_files
from datasets.folder import make_loader, read_batches
from models import MODELS
from portproof.files import state
from portproof.system import atomic, errors

FORMATS = {"onnx": ".onnx", "pt2": ".pt2"}  # by name, with the ending of the output


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_export("torch", FORMATS, argv)
    model, known = load_model(args.weights, args)
    images = read_images(args, known)  # [N, 3, S, S]
    try:
        with exports.whole_export(args.output) as partial:
            export(model, partial, args.format, known)
            exported = open_exported(partial).run
            checks = exports.check(lambda batch: run_live(model, batch), exported, images)
    except exports.Difference as difference:
        print(f"export.py: {args.output}: {difference}", file=sys.stderr)
        return 1
    for check in checks:
        print(check)
    print(f"exported: {args.output} ({exports.size_mb(args.output):.0f} MB)")
    return 0


def load_model(path: Path, args: argparse.Namespace) -> tuple[nn.Module, ModelMetadata]:
    """Return the model of a weights file in eval mode, and what else is known of it.

    Raises UserError where the file is damaged or of another network, or the names do not fit it.
    """
    weights, classes = checkpoint.read_weights(path)
    outputs = model_files.count_outputs(path, weights)
    name = networks.of_weights(weights) or "alexnet"  # put_weights says what is missing
    model = MODELS[name](num_classes=outputs)
    checkpoint.put_weights(path, weights, model)
    model.eval()
    known = metadata.of_weights(path, classes, args, presets.MEAN, presets.STD, name)
    metadata.check_count(known, (1, outputs), path)
    return model, known


def read_images(args: argparse.Namespace, known: ModelMetadata) -> np.ndarray:
    """Return some images of val, as many as the checks take: [N, 3, S, S], float32."""
    data_path = args.data_path or synthetic.ensure()
    _, val = folder.index_data(data_path, need_train=False)
    few = exports.spread(val, max(exports.BATCHES))
    loader = make_loader(few, known.loader_settings(len(few), workers=0), train=False)
    images, _ = next(iter(read_batches(loader, epoch=0)))
    return images.numpy()


def export(model: nn.Module, path: Path, format: str, known: ModelMetadata) -> None:
    """Write the model in eval mode, for any batch, to `path`; `known` goes with it.

    `format` is one of FORMATS. Raises UserError where a package is missing, or the disk is full.
    """
    model.eval()
    write = {"onnx": write_onnx, "pt2": write_native}[format]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        write(model, path, known)


def write_onnx(model: nn.Module, path: Path, known: ModelMetadata) -> None:
    """Write an ONNX file; `known` is in its metadata.

    https://docs.pytorch.org/docs/stable/onnx_export.html
    """
    exports.require("onnx")
    exports.require("onnxscript")
    program = torch.onnx.export(
        model,
        (example(known),),
        input_names=[onnx_models.INPUT],
        output_names=[onnx_models.OUTPUT],
        dynamic_shapes=({0: torch.export.Dim(onnx_models.BATCH)},),
        opset_version=onnx_models.OPSET,
        dynamo=True,
        verbose=False,
    )
    for node in program.model.graph:
        node.metadata_props.clear()  # where it was traced: paths of this machine
    program.model.metadata_props[onnx_models.METADATA_KEY] = known.to_json()
    with atomic.writing(path):
        program.save(path)


def write_native(model: nn.Module, path: Path, known: ModelMetadata) -> None:
    """Write a torch.export file; `known` is in it, as facts.json.

    https://docs.pytorch.org/docs/stable/export.html
    """
    batch = torch.export.Dim(onnx_models.BATCH)
    program = torch.export.export(model, (example(known),), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # where it was traced: paths of this machine
    with atomic.writing(path):
        torch.export.save(program, path, extra_files={exports.METADATA_FILE: known.to_json()})


def example(known: ModelMetadata) -> torch.Tensor:
    """Return images to trace the network with: two, as a batch of one is taken for fixed."""
    return torch.zeros(2, 3, known.image_size, known.image_size)


def is_exported(path: Path) -> bool:
    """Say whether the ending of `path` is that of an exported model."""
    return path.suffix in FORMATS.values()


def open_exported(path: Path) -> Exported:
    """Open an exported model, to run on the processor. Raises UserError where it is damaged."""
    if path.suffix == FORMATS["onnx"]:
        return onnx_models.open_onnx(path)
    return open_native(path)


def open_native(path: Path) -> Exported:
    """Open a torch.export file. Load only files that you trust: torch runs code in them."""
    if not state.is_plain_zip(path):  # of which torch would print a traceback
        raise errors.UserError(f"{path}: cannot be loaded (it is no whole .pt2); export anew")
    texts = {exports.METADATA_FILE: ""}
    readable = errors.explained(f"{path}: cannot be loaded", "export anew")
    with readable, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the loader, about itself
        model = torch.export.load(path, extra_files=texts).module()
    known = metadata.from_json(texts[exports.METADATA_FILE], path)

    def run(images: np.ndarray) -> np.ndarray:
        return run_live(model, images)

    return Exported(run, known, known.image_size)


@torch.no_grad()
def run_live(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Run a model on images [N, 3, S, S], float32; return logits [N, C], float32."""
    return model(torch.from_numpy(images)).numpy()


if __name__ == "__main__":
    errors.run(main)
