"""Proves that a port between PyTorch and PaddlePaddle computes what its original computes."""
