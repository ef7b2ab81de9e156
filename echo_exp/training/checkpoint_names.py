"""File names of checkpoints, for code that counts them without importing PyTorch."""

LAST, BEST = "last.ckpt", "best.ckpt"
