"""The process that does all that the program asks of MLflow."""
