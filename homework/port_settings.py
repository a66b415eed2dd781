"""The settings of the homework's port, with their usual values: those of train.py."""

SETTINGS = {
    "width": 64,  # channels of the first stage
    "classes": 1000,
    "lr": 0.007,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "gpus": 1,
    "nesterov": False,
    "label_smoothing": 0.0,
    "epochs": 7,
    "schedule": "cosine",
    "lr_step_size": 30,
    "lr_gamma": 0.1,
    "warmup_epochs": 0.25,
}
