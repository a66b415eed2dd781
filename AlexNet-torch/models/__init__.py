from models.alexnet import AlexNet as AlexNet
from models.alexnet_paper import AlexNetPaper as AlexNetPaper

MODELS = {"alexnet": AlexNet, "alexnet-paper": AlexNetPaper}  # by name, as --model has it
