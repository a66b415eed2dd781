"""Projects of PyTorch converted to Paddle by PaConvert and X2Paddle, and finished."""
