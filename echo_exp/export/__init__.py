"""A trained network for other programs: torch.export, ONNX and MLflow.

`network` makes the first two. `arrays` writes the weights of a network, and `packaging` makes an
MLflow model of them and `echo_network`. The model does not need this package.
"""
