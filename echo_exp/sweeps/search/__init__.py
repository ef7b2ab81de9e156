"""A search: Optuna proposes the settings of each job from the results of earlier jobs.

Optuna is imported only here, and only a search imports these modules; the exception is `goals`,
which does without Optuna and serves the report of a search too.
"""
