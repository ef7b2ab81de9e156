"""Reaches MLflow's stores in one checked way, reads from them, and recognises deletions."""
