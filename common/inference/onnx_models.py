"""ONNX models by onnxruntime, and what is written into them."""

from pathlib import Path

import numpy as np

from common.inference import metadata
from common.inference.exports import Exported, require
from portproof.system.errors import UserError, explained

METADATA_KEY = "alexnet"  # of the model's metadata
INPUT, OUTPUT, BATCH = "images", "logits", "batch"  # names in the exported graph
OPSET = 18
IR_VERSION = 10  # of the file; onnxruntime 1.23, the last for Python 3.10, reads up to 11


def open_onnx(path: Path) -> Exported:
    """Open a model of images [N, 3, S, S], float32, to logits [N, C], to run on the processor.

    Raises UserError where the file is no such model, or where onnxruntime is not installed.
    """
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and said once
    processor = ["CPUExecutionProvider"]
    with explained(f"{path}: cannot be loaded as an ONNX model", "export anew"):
        session = onnxruntime.InferenceSession(str(path), options, providers=processor)
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise UserError(f"{path}: takes no images [N, 3, S, S]; it is another kind of model")

    def run(images: np.ndarray) -> np.ndarray:
        with explained(f"{path}: cannot be run", "export anew"):
            return session.run(None, {inputs[0].name: images})[0]

    facts = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    size = inputs[0].shape[-1]
    return Exported(
        run,
        metadata.from_json(facts, path) if facts else None,
        size if isinstance(size, int) else None,
    )
