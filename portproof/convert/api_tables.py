"""What of PyTorch is what of PaddlePaddle 3.3, for what the converters do not know."""

HELPERS = "paddle_helpers"  # the module that is written beside the converted code

SAME_NAMES = """
    bfloat16 float16 float32 float64 uint8 int8 int16 int32 int64 bool dtype device Tensor
    no_grad is_tensor stack zeros ones from_numpy flatten isnan __version__
    get_default_dtype set_default_dtype
    cuda.is_bf16_supported nn.utils.clip_grad_norm_
    nn.ParameterDict nn.ParameterList nn.LocalResponseNorm nn.functional.adaptive_avg_pool2d
    nn.init.xavier_uniform_ nn.init.xavier_normal_ nn.init.uniform_
    distributed.destroy_process_group distributed.is_initialized distributed.get_rank
    distributed.get_world_size distributed.all_reduce distributed.ReduceOp distributed.barrier
"""
TRANSFORMS = "crop center_crop resize hflip vflip to_tensor normalize pad"  # of one image
SCHEDULES = """
    StepLR MultiStepLR ExponentialLR LambdaLR CosineAnnealingLR LinearLR SequentialLR
    ReduceLROnPlateau
"""
HELPED = """
    autocast amp.autocast is_autocast_enabled use_deterministic_algorithms compiler.is_compiling
    nn.functional.batch_norm distributed.all_gather_object distributed.get_backend
    utils.tensorboard.SummaryWriter
"""
KAIMING = "nn.init.kaiming_uniform_ nn.init.kaiming_normal_"


def renames(names: str, head: str, target: str) -> dict[str, str]:
    """Return Paddle's name by PyTorch's, for names that stand under another head alone."""
    return {f"{head}.{name}": f"{target}.{name}" for name in names.split()}


def helped(names: str, head: str) -> dict[str, str]:
    """Return the name of a helper, which is the last part of PyTorch's, by PyTorch's."""
    return {f"{head}.{name}": f"{HELPERS}.{name.rpartition('.')[2]}" for name in names.split()}


# The same call with the same arguments.
RENAMES = {
    **renames(SAME_NAMES, "torch", "paddle"),
    **renames("relu softmax log_softmax", "torch", "paddle.nn.functional"),
    **renames(TRANSFORMS, "torchvision.transforms.functional", "paddle.vision.transforms"),
    **helped(SCHEDULES, "torch.optim.lr_scheduler"),
    **helped(HELPED, "torch"),
    **helped("autocast distributed.get_backend", "paddle"),  # as PaConvert writes it
    # paddle.nn.init takes fan_in from the wrong side of a weight that lies as in PyTorch.
    **helped(KAIMING, "torch"),
    **helped(KAIMING, "paddle"),
    **renames("DataLoader Dataset", "torch.utils.data", "paddle.io"),
    "torch.optim.Optimizer": "paddle.optimizer.Optimizer",
    "torch.optim.lr_scheduler.LRScheduler": "paddle.optimizer.lr.LRScheduler",
    "torch.optim.lr_scheduler._LRScheduler": "paddle.optimizer.lr.LRScheduler",
    "torch.compile": "paddle.jit.to_static",
    "torch.cuda.synchronize": "paddle.device.synchronize",
    "torch.cuda.get_device_name": "paddle.device.cuda.get_device_name",
    "torch.nn.Linear": "paddle.compat.nn.Linear",
    "torch.nn.ModuleDict": "paddle.nn.LayerDict",
    "torch.nn.parallel.DistributedDataParallel": "paddle.DataParallel",
    "torch.nn.DataParallel": "paddle.DataParallel",
    "torch.autograd.Function": "paddle.autograd.PyLayer",  # with the rule "gradients"
    # Layouts in memory: Paddle has none to choose, and the converters drop what used them.
    "torch.contiguous_format": "None",
    "torch.preserve_format": "None",
    "torch.channels_last": "None",
}

# Classes of which functions with a gradient of their own derive.
FUNCTIONS = ("torch.autograd.Function", "paddle.autograd.Function", "paddle.autograd.PyLayer")

# What X2Paddle converts in silence to something else, so that it is exchanged before: by rule.
BEFORE_X2PADDLE = {
    # Every schedule begins at the rate 0.01, whatever the optimizer's is.
    "learning rate": {
        f"torch.optim.lr_scheduler.{name}"
        for name in ("CosineAnnealingLR", "MultiStepLR", "ReduceLROnPlateau")
    },
    # Xavier's uniform and normal distributions take each other's places.
    "initialization": {
        f"torch.nn.init.{kind}_{shape}_"
        for kind in ("xavier", "kaiming")
        for shape in ("uniform", "normal")
    },
    # A device that is returned becomes set_device(None).
    "names": {"torch.device"},
    # Linear keeps its weights turned, and so all that reads their shape or loads them is wrong.
    "layout": {"torch.nn.Linear"},
}

# X2Paddle's emulations, by their last name, and what Paddle has itself.
EMULATIONS = {
    "create_tensor": "paddle.Tensor",  # in annotations
    "device_count": "paddle.device.cuda.device_count",
    "set_cuda_device": "paddle.cuda.set_device",
    "init_process_group": "paddle.distributed.init_parallel_env",
    "normal_init_": "paddle.nn.init.normal_",
    "constant_init_": "paddle.nn.init.constant_",
    "Identity": "paddle.nn.Identity",
}

# Arguments of calls whose counterparts have others: PyTorch's order, then Paddle's name for each;
# None: it has none, and the argument may go.
SGD = "params lr momentum dampening weight_decay nesterov maximize foreach differentiable fused"
SGD_NAMES = {"lr": "learning_rate", "params": "parameters", "weight_decay": "weight_decay"}
MOMENTUM_NAMES = {"momentum": "momentum", "nesterov": "use_nesterov"}
SGDS = ("torch.optim.SGD", "x2paddle.torch2paddle.Momentum")
SCALER = {
    "device": None,
    "init_scale": "init_loss_scaling",
    "growth_factor": "incr_ratio",
    "backoff_factor": "decr_ratio",
    "growth_interval": "incr_every_n_steps",
    "enabled": "enable",
}
LOADER = {"dataset", "batch_size", "shuffle", "batch_sampler", "num_workers", "collate_fn"}
LOADER |= {"drop_last", "timeout", "worker_init_fn", "prefetch_factor"}
LOADER_WITHOUT = {"persistent_workers", "pin_memory", "pin_memory_device", "generator"}  # speed
SCALERS = ("torch.amp.GradScaler", "torch.cuda.amp.GradScaler")

# What to do where no rule knows better: by the beginning of the name, the longest first.
ADVICE = {
    "torch.onnx": "export by paddle.onnx.export(model, path, input_spec), with paddle2onnx",
    "torch.export": "export by paddle.jit.save(model, path, input_spec) and paddle.jit.load",
    "torch.jit": "export by paddle.jit.to_static and paddle.jit.save",
    "torch.load": "load by paddle.load(path), and convert the file by --pretrained",
    "torch.hub": "fetch the file, convert it by --pretrained, and load it by paddle.load",
    "torch.optim": "use the optimizer of that name in paddle.optimizer; its arguments are "
    "learning_rate and parameters",
    "torch.strided": "Paddle's tensors are all dense; drop the test",
    "torch.sparse": "see paddle.sparse",
    "torch": "look it up in Paddle's API mapping from PyTorch, or write it with what there is",
}


def advice(name: str) -> str:
    """Return what to do about a name of PyTorch that stands in converted code."""
    while name not in ADVICE and "." in name:
        name = name.rpartition(".")[0]
    return ADVICE.get(name, ADVICE["torch"])
