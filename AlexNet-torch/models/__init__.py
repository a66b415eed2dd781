from models.alexnet import AlexNet as AlexNet
