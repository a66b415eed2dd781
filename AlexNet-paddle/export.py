"""Export a trained model to a format that runs without this tree, checked against the live model.

    python AlexNet-paddle/export.py --weights runs/NAME/best.pdparams --format onnx
    python AlexNet-paddle/export.py --weights runs/NAME/best.pdparams --format inference

All options: --help. Exit status 1: the exported model differs from the live one; nothing is kept.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from portproof.system import processor

with processor.paddle_settings():  # they count only if they stand before the first import
    import paddle

import numpy as np
from paddle import nn

import checkpoint
import presets
from common import networks
from common.data import folder, synthetic
from common.inference import exports, metadata, onnx_graph, onnx_models
from common.inference.exports import Exported
from common.inference.metadata import ModelMetadata
from common.inference.onnx_graph import Operation
from common.inference.use_args import parse_export
from common.training import model_files
from datasets.folder import make_loader, read_batches
from models import MODELS
from portproof.system import atomic, errors

FORMATS = {"onnx": ".onnx", "inference": ".inference"}  # by name, with the ending of the output
STEM, ENDINGS = "model", (".json", ".pdiparams")  # the files of inference: program and weights


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_export("paddle", FORMATS, argv)
    paddle.set_device("cpu")
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


def load_model(path: Path, args: argparse.Namespace) -> tuple[nn.Layer, ModelMetadata]:
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


def export(model: nn.Layer, path: Path, format: str, known: ModelMetadata) -> None:
    """Write the model in eval mode, for any batch, to `path`; `known` goes with it.

    `format` is one of FORMATS. Raises UserError where a package is missing, or the disk is full.
    """
    model.eval()
    write = {"onnx": write_onnx, "inference": write_native}[format]
    write(model, path, known)


def write_onnx(model: nn.Layer, path: Path, known: ModelMetadata) -> None:
    """Write an ONNX file; `known` is in its metadata. See common/inference/onnx_graph.py."""
    onnx = exports.require("onnx")
    traced = paddle.jit.to_static(model.forward, input_spec=example(known), full_graph=True)
    program = traced.concrete_program
    operations = [as_operation(operation) for operation in program.main_program.global_block().ops]
    weights = {tensor.name: tensor.numpy() for tensor in model.state_dict().values()}
    output = name_of(program.outputs[0])
    built = onnx_graph.build(operations, weights, output, known.to_json())
    with atomic.writing(path):
        onnx.save(built, path)


def as_operation(operation: paddle.pir.Operation) -> Operation:
    """Return what an operation of a traced program is, in plain Python."""
    attributes = operation.attrs()
    results = operation.results()
    return Operation(
        operation.name(),
        attributes.get("struct_name", ""),
        attributes,
        [name_of(value) if value.initialized() else None for value in operation.operands_source()],
        [name_of(value) for value in results],
        list(results[0].shape) if results else [],
    )


def name_of(value: paddle.pir.Value) -> str:
    """Return a name for a value of a traced program, which has none of its own."""
    return f"value_{value.id}"


def write_native(model: nn.Layer, path: Path, known: ModelMetadata) -> None:
    """Write a folder for Paddle's inference; `known` is in it, as facts.json.

    https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/jit/save_en.html
    """
    with atomic.writing(path):
        path.mkdir()
        paddle.jit.save(model, str(path / STEM), input_spec=example(known))
        (path / exports.METADATA_FILE).write_text(known.to_json())


def example(known: ModelMetadata) -> list[paddle.static.InputSpec]:
    """Return what to trace the network with: images without a number, of any batch."""
    shape = [None, 3, known.image_size, known.image_size]
    return [paddle.static.InputSpec(shape, "float32", onnx_models.INPUT)]


def is_exported(path: Path) -> bool:
    """Say whether the ending of `path` is that of an exported model."""
    return path.suffix in FORMATS.values()


def open_exported(path: Path) -> Exported:
    """Open an exported model, to run on the processor. Raises UserError where it is damaged."""
    if path.suffix == FORMATS["onnx"]:
        return onnx_models.open_onnx(path)
    return open_native(path)


def open_native(path: Path) -> Exported:
    """Open a folder for Paddle's inference. Load only those that you trust."""
    known = metadata.from_json(exports.read_file(path / exports.METADATA_FILE), path)
    program, weights = (path / f"{STEM}{ending}" for ending in ENDINGS)
    exports.read_file(weights, most=1)  # Paddle runs on with zeros where there are none
    readable = errors.explained(f"{path}: cannot be loaded", "export anew")
    with readable:
        config = paddle.inference.Config(str(program), str(weights))
        config.disable_gpu()
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(processor.available_cores())
        model = paddle.inference.create_predictor(config)

    def run(images: np.ndarray) -> np.ndarray:
        return model.run([paddle.to_tensor(images, place=paddle.CPUPlace())])[0].numpy()

    return Exported(run, known, known.image_size)


@paddle.no_grad()
def run_live(model: nn.Layer, images: np.ndarray) -> np.ndarray:
    """Run a model on images [N, 3, S, S], float32; return logits [N, C], float32."""
    return model(paddle.to_tensor(images)).numpy()


if __name__ == "__main__":
    errors.run(main)
