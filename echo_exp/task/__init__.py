"""What is to be learned: integers, windows and targets, missing values, what a network reads."""
