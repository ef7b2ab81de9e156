"""A trained network as others take it: torch.export, ONNX and an MLflow model.

`network` makes the first two of it; `packaging` wraps the first as an MLflow model around
`echo_network`, which needs nothing of this package; `app` is the command.
"""
