"""A trained network for other programs: torch.export, ONNX and MLflow.

`network` makes the first two of it. `arrays` writes its weights, around which `packaging` makes an
MLflow model with `echo_network`; that needs nothing of this package.
"""
