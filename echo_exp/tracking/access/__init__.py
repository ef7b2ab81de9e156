"""MLflow's stores, reached in one checked way; what is read from them and what was deleted."""
