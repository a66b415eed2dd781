"""An ONNX graph from the operations of a traced Paddle program.

Paddle's own converter, paddle2onnx, cannot be had for every Python: version 2.1.0, the last, has no
wheel for 3.13 and demands an onnx of at most 1.17. The networks here need some twenty kinds of
operation; each has a function, and any other is an error that names it. What they do in ONNX:
https://onnx.ai/onnx/operators/
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from common.inference.exports import require
from common.inference.onnx_models import BATCH, INPUT, IR_VERSION, METADATA_KEY, OPSET, OUTPUT
from portproof.system.errors import UserError


class Operation(NamedTuple):
    """One operation of a program; inputs and outputs are names, an input left out is None."""

    kind: str  # such as pd_op.conv2d
    layer: str  # to which it belongs, such as /Sequential/Conv2D_1/
    attributes: dict[str, Any]
    inputs: list[str | None]
    outputs: list[str]
    shape: list[int]  # of the first output; -1 is the batch


class Graph:
    """What has been built so far. `names` tells by which name a program's value goes in ONNX."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.onnx = require("onnx")
        self.weights = weights  # by parameter
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.names: dict[str, str] = {}
        self.shapes: dict[str, list[int]] = {}
        self.input: Any = None

    def add(self, operation: Operation, kind: str, inputs: list[str], **attributes: Any) -> None:
        """Append a node of this kind, whose output is that of `operation`."""
        output = operation.outputs[0]
        name = f"{operation.layer}{kind}_{len(self.nodes)}"
        inputs = [self.names.get(name, name) for name in inputs]
        node = self.onnx.helper.make_node(kind, inputs, [output], name=name, **attributes)
        self.nodes.append(node)

    def constant(self, array: np.ndarray) -> str:
        """Keep a constant; return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = array
        return name

    def add_inner(self, operation: Operation, kind: str, inputs: list[str]) -> str:
        """Append a node on the way to the output of `operation`; return its own output's name."""
        inner = operation._replace(outputs=[f"{operation.outputs[0]}_{len(self.nodes)}"])
        self.add(inner, kind, inputs)
        return inner.outputs[0]


def build(
    operations: list[Operation], weights: dict[str, np.ndarray], output: str, facts: str
) -> Any:
    """Return the onnx.ModelProto of a program with one input and the value `output` as its logits.

    `weights` are float32, by the program's names; `facts` (JSON) goes into the metadata. Raises
    UserError, which names the layer, where an operation is not known here.
    """
    graph = Graph(weights)
    for operation in operations:
        if operation.kind not in KINDS:
            raise unknown(operation, "")
        KINDS[operation.kind](graph, operation)
        graph.shapes[operation.outputs[0]] = operation.shape
    helper = graph.onnx.helper
    graph.nodes.append(helper.make_node("Identity", [graph.names.get(output, output)], [OUTPUT]))
    shape = [BATCH, *graph.shapes[output][1:]]
    used = {name for node in graph.nodes for name in node.input}
    constants = {name: array for name, array in graph.constants.items() if name in used}
    built = helper.make_graph(
        graph.nodes,
        "AlexNet",
        [graph.input],
        [helper.make_tensor_value_info(OUTPUT, graph.onnx.TensorProto.FLOAT, shape)],
        [graph.onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(
        built,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="AlexNet-paddle",
    )
    helper.set_model_props(model, {METADATA_KEY: facts})
    graph.onnx.checker.check_model(model)
    return model


def unknown(operation: Operation, detail: str) -> UserError:
    """Return the error for an operation that has no counterpart here."""
    layer = f" (layer {operation.layer})" if operation.layer else ""
    return UserError(
        f"the export to ONNX does not know {operation.kind}{detail}{layer}; "
        "add it to common/inference/onnx_graph.py, or export for Paddle's inference"
    )


def _demand(operation: Operation, **expected: Any) -> None:
    """Raise the error for unknown operations where an attribute is not as expected."""
    for name, wanted in expected.items():
        attribute = operation.attributes.get(name)
        if attribute != wanted:
            raise unknown(operation, f" with {name}={attribute}")


def _parameter(graph: Graph, operation: Operation) -> None:
    name = operation.attributes["parameter_name"]
    graph.constants[name] = np.ascontiguousarray(graph.weights[name])
    graph.names[operation.outputs[0]] = name


def _input(graph: Graph, operation: Operation) -> None:
    if graph.input is not None:
        raise unknown(operation, " as a second input")
    shape = [BATCH, *operation.shape[1:]]
    graph.input = graph.onnx.helper.make_tensor_value_info(
        INPUT, graph.onnx.TensorProto.FLOAT, shape
    )
    graph.names[operation.outputs[0]] = INPUT


def _constant(dtype: type, **expected: Any) -> Callable[[Graph, Operation], None]:
    """Return the function for numbers: kept to be looked up by the operation that takes them."""

    def keep(graph: Graph, operation: Operation) -> None:
        _demand(operation, **expected)
        array = np.array(operation.attributes["value"], dtype)
        graph.names[operation.outputs[0]] = graph.constant(array)

    return keep


def _value(graph: Graph, name: str) -> list[int]:
    return graph.constants[graph.names[name]].tolist()


def _pads(paddings: list[int]) -> list[int]:
    """Return ONNX's top, left, bottom, right of Paddle's height, width or top, bottom, left..."""
    if len(paddings) == 2:
        return paddings * 2
    top, bottom, left, right = paddings
    return [top, left, bottom, right]


def _convolution(graph: Graph, operation: Operation) -> None:
    _demand(operation, padding_algorithm="EXPLICIT", data_format="NCHW")
    attributes = operation.attributes
    graph.add(
        operation,
        "Conv",
        operation.inputs,
        strides=attributes["strides"],
        pads=_pads(attributes["paddings"]),
        dilations=attributes["dilations"],
        group=attributes["groups"],
    )


def _pooling(graph: Graph, operation: Operation) -> None:
    attributes = operation.attributes
    _demand(operation, padding_algorithm="EXPLICIT", data_format="NCHW", global_pooling=False)
    if attributes["adaptive"]:
        return _adaptive_pooling(graph, operation)
    _demand(operation, pooling_type="max")
    return graph.add(
        operation,
        "MaxPool",
        operation.inputs[:1],
        kernel_shape=_value(graph, operation.inputs[1]),
        strides=attributes["strides"],
        pads=_pads(attributes["paddings"]),
        ceil_mode=int(attributes["ceil_mode"]),
    )


def _adaptive_pooling(graph: Graph, operation: Operation) -> None:
    """Average to a given size, from smaller or larger, as rows [h, H] x image x columns [W, w].

    ONNX has no such operation; its sizes are known here, so the means are two fixed matrices.
    """
    _demand(operation, pooling_type="avg")
    image = operation.inputs[0]
    rows, columns = (
        _averaging(size, wanted)
        for size, wanted in zip(graph.shapes[image][2:], operation.shape[2:], strict=True)
    )
    columns = graph.constant(np.ascontiguousarray(columns.T))
    middle = graph.add_inner(operation, "MatMul", [image, columns])
    graph.add(operation, "MatMul", [graph.constant(rows), middle])


def _averaging(size: int, wanted: int) -> np.ndarray:
    """Return [wanted, size], float32: row i averages from floor(i s/w) up to ceil((i + 1) s/w)."""
    matrix = np.zeros([wanted, size], np.float32)
    for i in range(wanted):
        start, end = i * size // wanted, -(-(i + 1) * size // wanted)
        matrix[i, start:end] = 1 / (end - start)
    return matrix


def _flatten(graph: Graph, operation: Operation) -> None:
    rank = len(graph.shapes[operation.inputs[0]])
    _demand(operation, start_axis=1, stop_axis=rank - 1)
    graph.add(operation, "Flatten", operation.inputs, axis=1)


def _batch_norm(graph: Graph, operation: Operation) -> None:
    """Normalize by the running statistics, which stand before weight and bias in Paddle's order."""
    _demand(operation, is_test=True, data_format="NCHW")
    image, mean, variance, weight, bias = operation.inputs
    inputs = [image, weight, bias, mean, variance]
    epsilon = operation.attributes["epsilon"]
    graph.add(operation, "BatchNormalization", inputs, epsilon=epsilon)


def _scale(graph: Graph, operation: Operation) -> None:
    """x s + b."""
    _demand(operation, bias_after_scale=True)
    bias = graph.constant(np.array(operation.attributes["bias"], np.float32))
    product = graph.add_inner(operation, "Mul", operation.inputs)
    graph.add(operation, "Add", [product, bias])


def _power(graph: Graph, operation: Operation) -> None:
    exponent = graph.constant(np.array(operation.attributes["y"], np.float32))
    graph.add(operation, "Pow", [*operation.inputs, exponent])


def _padding(graph: Graph, operation: Operation) -> None:
    """Pad [N, C, D, H, W] with a number; Paddle lists left, right, top, bottom, front, back."""
    _demand(operation, mode="constant", data_format="NCDHW")
    left, right, top, bottom, front, back = _value(graph, operation.inputs[1])
    pads = np.array([0, 0, front, top, left, 0, 0, back, bottom, right], np.int64)
    filling = graph.constant(np.array(operation.attributes["pad_value"], np.float32))
    graph.add(operation, "Pad", [operation.inputs[0], graph.constant(pads), filling])


def _pooling_3d(graph: Graph, operation: Operation) -> None:
    """Means over windows of [N, C, D, H, W], as local response normalization takes them."""
    attributes = operation.attributes
    _demand(operation, padding_algorithm="EXPLICIT", data_format="NCDHW", pooling_type="avg")
    _demand(operation, global_pooling=False, adaptive=False, paddings=[0, 0, 0])
    window = {"kernel_shape": attributes["kernel_size"], "strides": attributes["strides"]}
    graph.add(
        operation, "AveragePool", operation.inputs, ceil_mode=int(attributes["ceil_mode"]), **window
    )


def _same(
    kind: str, count: int | None = None, **expected: Any
) -> Callable[[Graph, Operation], None]:
    """Return the function for an operation that ONNX has, of the first `count` inputs.

    Its attributes must be as expected: ONNX has none of them.
    """

    def add(graph: Graph, operation: Operation) -> None:
        _demand(operation, **expected)
        graph.add(operation, kind, operation.inputs[:count])

    return add


KINDS: dict[str, Callable[[Graph, Operation], None]] = {
    "builtin.parameter": _parameter,
    "pd_op.data": _input,
    "pd_op.full_int_array": _constant(np.int64),
    "pd_op.full": _constant(np.float32, shape=[1]),
    "pd_op.conv2d": _convolution,
    "pd_op.pool2d": _pooling,
    "pd_op.pool3d": _pooling_3d,
    "pd_op.pad3d": _padding,
    "pd_op.batch_norm_": _batch_norm,
    "pd_op.flatten": _flatten,
    "pd_op.dropout": _same("Identity", 1, is_test=True, mode="upscale_in_train"),
    "pd_op.matmul": _same("MatMul", transpose_x=False, transpose_y=False),
    "pd_op.scale": _scale,
    "pd_op.pow": _power,
    "pd_op.relu": _same("Relu"),
    "pd_op.tanh": _same("Tanh"),
    "pd_op.add": _same("Add"),
    "pd_op.multiply": _same("Mul"),
    "pd_op.divide": _same("Div"),
    "pd_op.reshape": _same("Reshape"),
    "pd_op.squeeze": _same("Squeeze"),
    "pd_op.unsqueeze": _same("Unsqueeze"),
}
