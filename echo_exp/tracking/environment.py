"""Environment variables for the libraries, unless the user's environment sets them."""

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it writes to the home folder
    "ORT_DISABLE_TELEMETRY": "1",  # so does ONNX Runtime's
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""The libraries send no telemetry and print nothing of their own."""

IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "PGCONNECT_TIMEOUT": "10",
}
"""Short timeouts: nobody waits for minutes, and the writer tries again anyway."""
