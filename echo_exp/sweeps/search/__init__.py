"""A search: Optuna proposes the settings of each job from what came out of those before.

The only part of the program that imports Optuna, and it is imported only by a search.
"""
