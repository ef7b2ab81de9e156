"""From composed settings to the checked parts of a run; comparison of configurations.

Light: torch is only in `assembly`, `shapes` and `memory`.
"""

from echo_exp.configuration.building import build, unknown
from echo_exp.configuration.checking import (
    Settings,
    callbacks,
    check_keys,
    exports,
    read,
    tracking,
)
from echo_exp.configuration.command_line import flags, overrides
from echo_exp.configuration.groups import (
    CALLBACKS,
    FOLDER,
    GROUPS,
    LAUNCH,
    ROOT,
    SEARCH,
    STUDY,
    TARGET,
    WHOLE,
    WHOLE_PROGRAM,
)
from echo_exp.configuration.identity import (
    INCIDENTAL,
    can_grow,
    class_of,
    differences,
    fingerprint,
    fingerprints,
    flat,
    measured,
    parameters,
    problem_kind,
    set_apart,
    stack_key,
    stack_settings,
)
from echo_exp.configuration.problem_and_network import problem
from echo_exp.configuration.swept import (
    FEW_DIGITS,
    REPETITIONS,
    setting,
    short,
    swept,
    varied,
    words,
)

__all__ = [
    "CALLBACKS",
    "FEW_DIGITS",
    "FOLDER",
    "GROUPS",
    "INCIDENTAL",
    "LAUNCH",
    "REPETITIONS",
    "ROOT",
    "SEARCH",
    "STUDY",
    "TARGET",
    "WHOLE",
    "WHOLE_PROGRAM",
    "Settings",
    "build",
    "callbacks",
    "can_grow",
    "check_keys",
    "class_of",
    "differences",
    "exports",
    "fingerprint",
    "fingerprints",
    "flags",
    "flat",
    "measured",
    "overrides",
    "parameters",
    "problem",
    "problem_kind",
    "read",
    "set_apart",
    "setting",
    "short",
    "stack_key",
    "stack_settings",
    "swept",
    "tracking",
    "unknown",
    "varied",
    "words",
]
