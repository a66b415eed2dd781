"""The two frameworks, and their names as people write them."""

FRAMEWORKS = ("torch", "paddle")
NAMES = {"torch": "PyTorch", "paddle": "PaddlePaddle"}
OTHER = {"torch": "paddle", "paddle": "torch"}
