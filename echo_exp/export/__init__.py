"""A trained network for other programs: torch.export, ONNX and MLflow.

`network` makes the first two of it; `packaging` wraps the first as an MLflow model around
`echo_network`, which needs nothing of this package.
"""
