"""A search: Optuna proposes the settings of each job from what came out of those before.

The only part of the program that imports Optuna. Only a search imports it, but for `goals`, which
the report of a search reads too.
"""
