"""What happens to the rows that shifting leaves incomplete."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echo_exp import Drop, EchoProblem, ManyToOne, Mask, OneHot, Scaled, Sentinel
from echo_exp.task.missing import Missing
from echo_exp.task.problem import MISSING

from ..trainers import make_module

INCOMPLETE = EchoProblem(length=10, n_values=6, n_in=4, n_out=2, incomplete=True)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=40), st.data())
def test_incomplete_rows_equal_those_of_shifting_with_pandas(
    integers: list[int], data: st.DataObject
) -> None:
    n_in = data.draw(st.integers(1, len(integers)))
    problem = EchoProblem(length=len(integers), n_in=n_in, n_out=1, incomplete=True)
    frame = pd.DataFrame(integers)
    shifted = pd.concat([frame.shift(n_in - 1 - step) for step in range(n_in)], axis=1)
    expected = shifted.fillna(MISSING).to_numpy()
    np.testing.assert_array_equal(problem.windows(np.array(integers)), expected)
    assert problem.n_windows == len(integers)


def test_several_sequences_are_framed_separately() -> None:
    sequences = np.arange(60).reshape(2, 3, 10)
    windows = INCOMPLETE.windows(sequences)
    assert windows.shape == (2, 3, 10, 4)
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(windows[place], INCOMPLETE.windows(sequences[place]))


def test_twenty_five_integers_give_twenty_five_rows_of_which_four_are_incomplete() -> None:
    problem = EchoProblem(incomplete=True)
    windows = problem.windows(np.arange(25))
    assert (problem.n_windows, problem.n_incomplete) == (25, 4)
    assert (windows[:4] == MISSING).any(axis=1).all()
    assert not (windows[4:] == MISSING).any()


def test_missing_targets_are_marked() -> None:
    present = INCOMPLETE.present_targets()
    assert present.tolist() == [[False, False], [False, False], [False, True], *[[True, True]] * 7]
    assert EchoProblem().present_targets().all()


@pytest.mark.parametrize(
    ("policy", "incomplete", "sentinel"),
    [(Drop(), False, False), (Mask(), True, False), (Sentinel(), True, True)],
)
def test_each_policy_says_whether_it_keeps_incomplete_rows(
    policy: Missing, incomplete: bool, sentinel: bool
) -> None:
    assert (policy.incomplete, policy.sentinel) == (incomplete, sentinel)


def test_only_the_mask_hides_timesteps() -> None:
    windows = torch.tensor([[MISSING, 3], [0, 1]])
    assert Mask().present(windows).tolist() == [[False, True], [True, True]]
    assert [policy.present(windows) for policy in (Drop(), Sentinel())] == [None, None]


def test_a_sentinel_is_a_separate_value() -> None:
    windows = torch.tensor([MISSING, 0, 5])
    one_hot = OneHot(6, sentinel=True)
    assert one_hot.encode(windows).tolist() == [6, 0, 5]
    assert (one_hot.n_features, one_hot.n_outputs) == (7, 6)  # it can be read, never answered
    assert Scaled(6, sentinel=True).encode(windows).squeeze(-1).tolist() == [-1, 0, 1]
    assert Scaled(6).encode(windows).squeeze(-1).tolist() == [0, 0, 1]  # and nobody reads it


@pytest.mark.parametrize("representation", [OneHot(6), Scaled(6)])
def test_a_missing_target_costs_nothing_and_teaches_nothing(
    representation: OneHot | Scaled,
) -> None:
    outputs = torch.randn(1, 2, 3, representation.n_outputs, requires_grad=True)
    targets = torch.tensor([[[MISSING, 1, 2], [3, MISSING, 4]]])
    losses = representation.loss(outputs, targets)
    assert (losses == 0).tolist() == (targets == MISSING).tolist()
    (gradient,) = torch.autograd.grad(losses.sum(), outputs)
    assert (gradient == 0).all(-1).tolist() == (targets == MISSING).tolist()


WHOLE = EchoProblem(length=10, n_values=6, n_in=3, n_out=3, incomplete=True)  # 10 rows


@pytest.mark.parametrize("batch_size", [1, 2, 5, 10])
def test_an_evaluation_masks_missing_timesteps_batch_by_batch(batch_size: int) -> None:
    module = make_module(problem=WHOLE, batch_size=batch_size, missing=Mask())
    windows = torch.from_numpy(WHOLE.windows(np.arange(10) % 6))[None, None]  # [S, R, rows, T]
    state, losses = None, []
    with torch.no_grad():
        for rows in windows[0].split(batch_size, dim=1):
            outputs, state = module.model(rows.clamp(min=0), state, rows != MISSING)
            losses.append(module.representation.loss(outputs, rows))
        torch.testing.assert_close(module._evaluate(windows)[0]["loss"][0], torch.cat(losses, 1))


def test_training_weighs_present_targets_only() -> None:
    module = make_module(problem=WHOLE, batch_size=5, missing=Mask())
    windows = torch.from_numpy(WHOLE.windows(np.arange(10) % 6))[None, None]  # [S, R, rows, T]
    with torch.no_grad():
        losses = module._evaluate(windows)[0]["loss"]  # [S, R, rows, n_out]
    present = WHOLE.targets(windows) != MISSING
    for batch, (loss, _) in enumerate(module._gradients(windows)):
        rows = slice(5 * batch, 5 * batch + 5)
        torch.testing.assert_close(loss, losses[:, :, rows].sum()[None])
        expected = torch.autograd.grad(
            module._evaluate(windows)[0]["loss"][:, :, rows].sum() / present[:, :, rows].sum(),
            list(module.parameters()),
        )
        if batch == 0:  # nothing was cut from the graph before
            torch.testing.assert_close([p.grad for p in module.parameters()], list(expected))


def test_complete_and_incomplete_windows_are_scored_separately() -> None:
    module = make_module(problem=WHOLE, batch_size=5, missing=Mask())
    windows = torch.from_numpy(WHOLE.windows(np.arange(10) % 6))[None, None]  # [S, R, rows, T]
    with torch.no_grad():
        losses = module._evaluate(windows)[0]["loss"]  # [S, R, rows, n_out]
        scores = module.test_step(windows, 0)
        right = module.predict_step(windows) == WHOLE.targets(windows)
    expected = {
        "loss": losses[:, :, 2:].mean(),
        "accuracy": right[:, :, 2:].float().mean(),
        "sequence_accuracy": right[:, :, 2:].all(-1).float().mean(),
        "incomplete_loss": losses[:, :, :2].sum() / 3,  # of six targets three are missing
        "incomplete_accuracy": right[:, :, :2].sum() / 3,
    }
    for name, value in expected.items():
        torch.testing.assert_close(scores[name].squeeze(), value)


def test_incomplete_rows_without_any_target_have_no_score() -> None:
    problem = EchoProblem(length=10, n_values=6, n_in=3, n_out=1, incomplete=True)
    model = ManyToOne(n_features=6, n_outputs=6, n_in=3, n_out=1, units=4, seeds=[0])
    module = make_module(model=model, problem=problem, batch_size=1, missing=Mask())
    windows = torch.from_numpy(problem.windows(np.arange(10) % 6))[None, None]
    with torch.no_grad():
        scores = module.test_step(windows, 0)
    assert not [name for name in scores if name.startswith("incomplete")]
    losses = [float(loss) for loss, _ in module._gradients(windows)]
    assert losses[:2] == [0.0, 0.0]
    assert all(losses[2:])
