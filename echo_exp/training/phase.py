"""Chooses what a stack trains next, so that each run has the blocks that it would have alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from echo_exp.training.member import Member


@dataclass(frozen=True)
class Phase:
    """The runs and blocks that are trained in one call of Lightning.

    Attributes:
        members: The runs.
        blocks: Blocks that each is trained for.
        block: Epochs in a block.
        validate: Blocks before the first validation, and between any two.
    """

    members: Sequence[Member]
    blocks: int
    block: int
    validate: int


def next_phase(
    members: Sequence[Member], block: int, validate_every: int, lengths: int = 1
) -> Phase:
    """Returns the next phase of a stack.

    Args:
        members: Runs that have epochs left.
        block: Epochs in a block.
        validate_every: Epochs between two validations, a multiple of ``block``.
        lengths: Lengths of the window that take turns from epoch to epoch; runs that are trained
            together must be at the same one.
    """
    turn = members[0].trained % lengths
    members = [member for member in members if member.trained % lengths == turn]
    shortest = min(members, key=lambda member: member.remaining)
    if shortest.remaining < block:

        def due(member: Member) -> bool:
            blocks = math.ceil((member.trained + member.remaining) / block)
            return blocks % (validate_every // block) == 0

        ending = [m for m in members if m.remaining == shortest.remaining]
        ending = [m for m in ending if due(m) == due(shortest)]
        return Phase(ending, 1, shortest.remaining, 1 if due(shortest) else 2)
    behind = min(members, key=lambda m: m.trained % validate_every or validate_every)
    offset = behind.trained % validate_every
    together = [m for m in members if m.trained % validate_every == offset]
    to_validation = (validate_every - offset) // block
    blocks = min(member.remaining // block for member in together)
    if offset:
        blocks = min(blocks, to_validation)
    return Phase(together, blocks, block, to_validation)
