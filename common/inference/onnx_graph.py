"""An ONNX graph from the operations of a traced Paddle program.

Paddle's own converter, paddle2onnx 2.1.0, has no wheel for Python 3.13 and demands an onnx of at
most 1.17. The networks here need some twenty kinds of operation; any other is an error that names
it. What they do in ONNX: https://onnx.ai/onnx/operators/
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

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
    """What has been built so far. `names` has the names of a program's values in ONNX."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.onnx = require("onnx")
        self.weights = weights  # by parameter
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.names: dict[str, str] = {}
        self.shapes: dict[str, list[int]] = {}
        self.input: Any = None

    def add(
        self, operation: Operation, kind: str, *inputs: str, inner: bool = False, **attrs: Any
    ) -> str:
        """Append a node of this kind; return the name of its output.

        That is the output of `operation`, unless it is an `inner` one on the way to it. Without
        `inputs` it takes those of the operation.
        """
        number = len(self.nodes)
        output = operation.outputs[0] + (f"_{number}" if inner else "")
        inputs = [self.names.get(name, name) for name in inputs or operation.inputs]
        name = f"{operation.layer}{kind}_{number}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], name=name, **attrs))
        return output

    def description(self, name: str, shape: list[int]) -> Any:
        """Return what the model says of its input or output: float32, of any batch."""
        kind, shape = self.onnx.TensorProto.FLOAT, [BATCH, *shape[1:]]
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)

    def constant(self, numbers: ArrayLike, dtype: type = np.float32) -> str:
        """Keep a constant; return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(numbers, dtype)
        return name


def build(
    operations: list[Operation], weights: dict[str, np.ndarray], output: str, facts: str
) -> Any:
    """Return the onnx.ModelProto of a program with one input and the value `output` as its logits.

    `weights` are float32, by name; `facts` (JSON) goes into the metadata. Raises UserError at an
    operation that is not known here.
    """
    graph = Graph(weights)
    for operation in operations:
        add = KINDS.get(operation.kind)
        if add is None:
            raise unknown(operation, "")
        _demand(operation, **EXPECTED.get(operation.kind, {}))
        if isinstance(add, str):
            graph.add(operation, add)
        else:
            add(graph, operation)
        graph.shapes[operation.outputs[0]] = operation.shape
    helper = graph.onnx.helper
    graph.nodes.append(helper.make_node("Identity", [graph.names.get(output, output)], [OUTPUT]))
    used = {name for node in graph.nodes for name in node.input}
    from_array = graph.onnx.numpy_helper.from_array
    built = helper.make_graph(
        graph.nodes,
        "AlexNet",
        [graph.input],
        [graph.description(OUTPUT, graph.shapes[output])],
        [from_array(array, name) for name, array in graph.constants.items() if name in used],
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
    graph.constants[name] = graph.weights[name]
    graph.names[operation.outputs[0]] = name


def _input(graph: Graph, operation: Operation) -> None:
    if graph.input is not None:
        raise unknown(operation, " as a second input")
    graph.input = graph.description(INPUT, operation.shape)
    graph.names[operation.outputs[0]] = INPUT


def _constant(graph: Graph, operation: Operation) -> None:
    """Keep numbers, to be looked up by the operation that takes them."""
    dtype = np.int64 if operation.kind == "pd_op.full_int_array" else np.float32
    graph.names[operation.outputs[0]] = graph.constant(operation.attributes["value"], dtype)


def _value(graph: Graph, name: str) -> list[int]:
    return graph.constants[graph.names[name]].tolist()


def _sliding(operation: Operation) -> dict[str, Any]:
    """Return strides and paddings; Paddle lists height, width or top, bottom, left, right."""
    paddings = operation.attributes["paddings"]
    top, bottom, left, right = np.repeat(paddings, 4 // len(paddings)).tolist()
    return {"strides": operation.attributes["strides"], "pads": [top, left, bottom, right]}


def _convolution(graph: Graph, operation: Operation) -> None:
    attributes = operation.attributes
    more = {"dilations": attributes["dilations"], "group": attributes["groups"]}
    graph.add(operation, "Conv", **_sliding(operation), **more)


def _pooling(graph: Graph, operation: Operation) -> None:
    attributes = operation.attributes
    if attributes["adaptive"]:
        _adaptive_pooling(graph, operation)
        return
    _demand(operation, pooling_type="max")
    image, window = operation.inputs
    more = {"kernel_shape": _value(graph, window), "ceil_mode": int(attributes["ceil_mode"])}
    graph.add(operation, "MaxPool", image, **_sliding(operation), **more)


def _adaptive_pooling(graph: Graph, operation: Operation) -> None:
    """Average to a given size, which ONNX cannot: rows [h, H] x image x columns [W, w]."""
    _demand(operation, pooling_type="avg")
    image = operation.inputs[0]
    sizes = zip(graph.shapes[image][2:], operation.shape[2:], strict=True)
    rows, columns = (_averaging(size, wanted) for size, wanted in sizes)
    middle = graph.add(operation, "MatMul", image, graph.constant(columns.T), inner=True)
    graph.add(operation, "MatMul", graph.constant(rows), middle)


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
    graph.add(operation, "Flatten", axis=1)


def _batch_norm(graph: Graph, operation: Operation) -> None:
    """Normalize by the running statistics, which stand before weight and bias in Paddle's order."""
    image, mean, variance, weight, bias = operation.inputs
    inputs = image, weight, bias, mean, variance
    epsilon = operation.attributes["epsilon"]
    graph.add(operation, "BatchNormalization", *inputs, epsilon=epsilon)


def _dropout(graph: Graph, operation: Operation) -> None:
    graph.add(operation, "Identity", operation.inputs[0])


def _scale(graph: Graph, operation: Operation) -> None:
    """x s + b."""
    bias = graph.constant(operation.attributes["bias"])
    product = graph.add(operation, "Mul", inner=True)
    graph.add(operation, "Add", product, bias)


def _power(graph: Graph, operation: Operation) -> None:
    exponent = graph.constant(operation.attributes["y"])
    graph.add(operation, "Pow", *operation.inputs, exponent)


def _padding(graph: Graph, operation: Operation) -> None:
    """Pad [N, C, D, H, W] with a number; Paddle lists left, right, top, bottom, front, back."""
    left, right, top, bottom, front, back = _value(graph, operation.inputs[1])
    pads = graph.constant([0, 0, front, top, left, 0, 0, back, bottom, right], np.int64)
    filling = graph.constant(operation.attributes["pad_value"])
    graph.add(operation, "Pad", operation.inputs[0], pads, filling)


def _pooling_3d(graph: Graph, operation: Operation) -> None:
    """Means over windows of [N, C, D, H, W], as local response normalization takes them."""
    attributes = operation.attributes
    window = {"kernel_shape": attributes["kernel_size"], "strides": attributes["strides"]}
    graph.add(operation, "AveragePool", ceil_mode=int(attributes["ceil_mode"]), **window)


# What adds an operation to a graph; or the operation of ONNX that takes the same inputs.
KINDS: dict[str, str | Callable[[Graph, Operation], None]] = {
    "builtin.parameter": _parameter,
    "pd_op.data": _input,
    "pd_op.full_int_array": _constant,
    "pd_op.full": _constant,
    "pd_op.conv2d": _convolution,
    "pd_op.pool2d": _pooling,
    "pd_op.pool3d": _pooling_3d,
    "pd_op.pad3d": _padding,
    "pd_op.batch_norm_": _batch_norm,
    "pd_op.flatten": _flatten,
    "pd_op.dropout": _dropout,
    "pd_op.matmul": "MatMul",
    "pd_op.scale": _scale,
    "pd_op.pow": _power,
    "pd_op.relu": "Relu",
    "pd_op.tanh": "Tanh",
    "pd_op.add": "Add",
    "pd_op.multiply": "Mul",
    "pd_op.divide": "Div",
    "pd_op.reshape": "Reshape",
    "pd_op.squeeze": "Squeeze",
    "pd_op.unsqueeze": "Unsqueeze",
}
IMAGES = {"padding_algorithm": "EXPLICIT", "data_format": "NCHW"}
MEANS = {"pooling_type": "avg", "global_pooling": False, "adaptive": False, "paddings": [0, 0, 0]}
# What an operation's attributes must be: ONNX, or the function here, has no others.
EXPECTED: dict[str, dict[str, Any]] = {
    "pd_op.full": {"shape": [1]},
    "pd_op.conv2d": IMAGES,
    "pd_op.pool2d": IMAGES | {"global_pooling": False},
    "pd_op.pool3d": IMAGES | MEANS | {"data_format": "NCDHW"},
    "pd_op.pad3d": {"mode": "constant", "data_format": "NCDHW"},
    "pd_op.batch_norm_": {"is_test": True, "data_format": "NCHW"},
    "pd_op.dropout": {"is_test": True, "mode": "upscale_in_train"},
    "pd_op.matmul": {"transpose_x": False, "transpose_y": False},
    "pd_op.scale": {"bias_after_scale": True},
}
