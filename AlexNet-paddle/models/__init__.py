from models.alexnet import AlexNet as AlexNet
from models.alexnet_paper import AlexNetPaper as AlexNetPaper
from models.small import VARIANTS

MODELS = {"alexnet": AlexNet, "alexnet-paper": AlexNetPaper, **VARIANTS}  # as --model has them
