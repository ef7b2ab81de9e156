"""The process that does the program's work with MLflow."""
