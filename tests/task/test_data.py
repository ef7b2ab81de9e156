"""The sequences and blocks of the data loaders."""

import numpy as np
import torch

from echo_exp.task.problem import Stream, random_stream

from ..trainers import PROBLEM, make_data


def test_training_yields_blocks_of_windows_with_each_sequence_once() -> None:
    blocks = list(make_data(12, seeds=(0, 3), block=5).train_dataloader())
    assert [block.shape for block in blocks] == [(5, 2, 8, 3), (5, 2, 8, 3), (2, 2, 8, 3)]
    for replica, seed in enumerate((0, 3)):
        drawn = PROBLEM.generate(random_stream(seed, Stream.TRAINING), 12)
        windows = torch.from_numpy(PROBLEM.windows(drawn))
        assert torch.equal(torch.cat(blocks)[:, replica], windows)


def test_the_size_of_a_block_does_not_change_the_sequences() -> None:
    small, large = (torch.cat(list(make_data(12, block=n).train_dataloader())) for n in (1, 12))
    assert torch.equal(small, large)


def test_the_number_of_blocks_is_known() -> None:
    assert len(make_data(12, block=5).train_dataloader()) == 3


def test_validation_and_test_are_fixed_and_have_their_own_streams() -> None:
    data = make_data(12)
    for loader, stream, count in (
        (data.val_dataloader(), Stream.VALIDATION, 3),
        (data.test_dataloader(), Stream.TEST, 4),
    ):
        first, second = (torch.cat(list(loader)) for _ in range(2))
        drawn = PROBLEM.generate(random_stream(0, stream), count)
        assert torch.equal(first, second)
        assert torch.equal(first[:, 0], torch.from_numpy(PROBLEM.windows(drawn)))


def test_the_listing_has_its_own_sequence() -> None:
    drawn = PROBLEM.generate(random_stream(0, Stream.LISTING), 1)
    np.testing.assert_array_equal(make_data(1).listing_sequence(), drawn)
