"""What networks learn: integers, windows and targets, missing values, representations."""
