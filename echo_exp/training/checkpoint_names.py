"""What the files of checkpoints are called, for those who need no PyTorch to count them."""

LAST, BEST = "last.ckpt", "best.ckpt"
