"""A finished run is trained longer, from Python, and its runs are connected in the store."""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

import echo_exp
from echo_exp.settings import SettingError
from echo_exp.tracking.access.connection import reach

SMALL = (
    *("problem.length=12", "problem.n_values=8", "model.units=4", "batch_size=4"),
    *("trainer.test_sequences=2", "trainer.progress=none", "export=false"),
)
VARIATIONS = {
    "plain": (),
    "replicas": ("replicas=3",),
    "encoder-decoder": ("model=encoder_decoder", "missing=mask", "batch_size=6"),
    "numbers": ("representation=scaled", "missing=sentinel", "batch_size=6"),
    "rare validations": ("trainer.validate_every=50",),
}
Train = Callable[..., Run]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder for all tests, which train different seeds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("runs"))
        yield Path.cwd()


@pytest.fixture(scope="module")
def client(folder: Path) -> MlflowClient:
    return reach(f"sqlite:///{folder}/outputs/mlflow.db", None).client


@pytest.fixture
def train(client: MlflowClient) -> Train:
    def trained(*overrides: str) -> Run:
        run_id = echo_exp.train(*overrides).run_id
        assert run_id is not None
        return client.get_run(run_id)

    return trained


SEED = itertools.count(1, 10)


@pytest.fixture
def settings() -> tuple[str, ...]:
    return (*SMALL, f"seed={next(SEED)}")


def _points(client: MlflowClient, run: Run, key: str) -> list[tuple[int, str]]:
    points = client.get_metric_history(run.info.run_id, key)
    return sorted((point.step, str(point.value)) for point in points)


def _checkpoint(folder: Path, run: Run, name: str) -> dict[str, Any]:
    (path,) = (folder / "outputs").glob(f"**/{run.info.run_id}/artifacts/checkpoints/{name}")
    return dict(torch.load(path, weights_only=True))


@pytest.mark.parametrize("variation", VARIATIONS)
def test_a_run_trained_longer_equals_the_run_of_all_epochs_bit_for_bit(
    folder: Path, client: MlflowClient, train: Train, settings: tuple[str, ...], variation: str
) -> None:
    arguments = (*settings, *VARIATIONS[variation])
    shorter = train(*arguments, "epochs=60")
    longer = train(f"resume={shorter.info.run_id}", "epochs=110")
    expected = train(*arguments, "epochs=110")
    assert longer.info.status == "FINISHED"
    assert longer.data.params == expected.data.params
    assert longer.data.tags["fingerprint"] == expected.data.tags["fingerprint"]
    assert longer.data.metrics.keys() == expected.data.metrics.keys()
    for key in longer.data.metrics.keys() - {"fit_seconds"}:
        assert _points(client, longer, key) == _points(client, expected, key)
    for name in ("last.ckpt", "best.ckpt"):
        found, there = _checkpoint(folder, longer, name), _checkpoint(folder, expected, name)
        assert found["echo_epochs"] == there["echo_epochs"]
        for weight, value in there["state_dict"].items():
            assert torch.equal(found["state_dict"][weight], value)
    steps = [step for step, _ in _points(client, longer, "train/loss")]
    assert steps == list(range(1, 111))


def test_a_run_begins_anew_if_the_shorter_one_had_no_whole_block(
    client: MlflowClient, train: Train, settings: tuple[str, ...]
) -> None:
    train("resume=auto", *settings, "epochs=10")
    longer = train("resume=auto", *settings, "epochs=40")
    expected = train(*settings, "epochs=40")
    assert "continues" not in longer.data.tags
    assert _points(client, longer, "train/loss") == _points(client, expected, "train/loss")


def test_both_runs_name_each_other_and_points_keep_their_times(
    client: MlflowClient, train: Train, settings: tuple[str, ...]
) -> None:
    run_id = train(*settings, "epochs=50").info.run_id
    longer = train(f"resume={run_id}", "epochs=75")
    shorter = client.get_run(run_id)
    for run, other, tag in ((longer, shorter, "continues"), (shorter, longer, "continued")):
        assert run.data.tags[tag] == other.info.run_id
        assert f"/runs/{other.info.run_id}?" in run.data.tags["mlflow.note.content"]
    before, after = (
        {p.step: p.timestamp for p in client.get_metric_history(run.info.run_id, "train/loss")}
        for run in (shorter, longer)
    )
    assert before.items() < after.items()
    assert longer.data.metrics["fit_seconds"] > shorter.data.metrics["fit_seconds"]


def test_training_longer_twice_does_nothing_however_it_is_asked_for(
    train: Train, settings: tuple[str, ...]
) -> None:
    train(*settings, "epochs=50")
    longer = train("resume=last", "epochs=75")
    _, *asked = longer.data.tags["mlflow.source.name"].split()  # names the run, not `last`
    for arguments in (asked, ("resume=auto", *settings, "epochs=75")):
        assert train(*arguments).info.run_id == longer.info.run_id


def test_of_several_shorter_runs_the_longest_is_continued(
    train: Train, settings: tuple[str, ...]
) -> None:
    runs = [train("resume=auto", *settings, f"epochs={epochs}") for epochs in (25, 100, 60)]
    longer = train("resume=auto", *settings, "epochs=90")
    ids = [runs[0].info.run_id] * 2 + [runs[2].info.run_id]
    assert [run.data.tags.get("continues") for run in (*runs[1:], longer)] == ids


def test_a_run_with_an_own_callback_is_not_continued_unasked(
    train: Train, settings: tuple[str, ...]
) -> None:
    look = "+callbacks.look={_target_: pytorch_lightning.callbacks.Callback}"
    runs = [train("resume=auto", *settings, look, f"epochs={epochs}") for epochs in (25, 50)]
    assert "continues" not in runs[1].data.tags


class _Zero(pl.Callback):
    """Sets all weights to zero."""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for parameter in pl_module.parameters():
            parameter.data.zero_()


def test_a_run_with_a_callback_from_python_is_the_same_as_no_other(
    client: MlflowClient, settings: tuple[str, ...]
) -> None:
    def train(*overrides: str, **more: Any) -> str:
        run_id = echo_exp.train(*settings, *overrides, **more).run_id
        assert run_id is not None
        return run_id

    changed = train("epochs=25", callbacks=_Zero())
    assert client.get_run(changed).data.tags["callbacks"] == "_Zero"
    plain = train("resume=auto", "epochs=25")
    assert plain != changed
    assert train("resume=auto", "epochs=25", callbacks=[_Zero()]) not in (plain, changed)
    with pytest.raises(SettingError, match="began with the callbacks _Zero, given in Python"):
        train(f"resume={changed}", "epochs=50")
    for run_id in (plain, changed):
        longer = train(f"resume={run_id}", "epochs=50", callbacks=_Zero())
        tags = client.get_run(longer).data.tags
        assert (tags["continues"], tags["callbacks"]) == (run_id, "_Zero")
        assert "fingerprint" not in tags


def test_a_run_that_cannot_be_continued_is_trained_again(
    folder: Path, client: MlflowClient, train: Train, settings: tuple[str, ...]
) -> None:
    shorter = train(*settings, "epochs=50")
    (path,) = (folder / "outputs").glob(f"**/{shorter.info.run_id}/**/last.ckpt")
    path.unlink()
    with pytest.raises(SettingError, match="has no last checkpoint"):
        train(f"resume={shorter.info.run_id}", "epochs=75")
    longer = train("resume=auto", *settings, "epochs=75")
    assert "continues" not in longer.data.tags
    steps = [step for step, _ in _points(client, longer, "train/loss")]
    assert steps == list(range(1, 76))


REFUSED: dict[tuple[str, ...], str] = {
    (): r"resume=last is not allowed: run \w+ has finished its 50 epochs: set epochs= above 50",
    ("epochs=50",): r"epochs=50 is not allowed: run \w+ has finished its 50 epochs",
    ("epochs=49",): r"epochs=49 is not allowed: run \w+ has finished its 50 epochs",
    (
        "epochs=75",
        "model.units=30",
    ): r"a different configuration: model.units is 30 here and 4 there$",
    ("epochs=75", "replicas=2"): r"a different configuration: replicas is 2 here and 1 there$",
}


def test_a_run_that_cannot_be_trained_longer_is_refused_with_the_reason(
    client: MlflowClient, train: Train, settings: tuple[str, ...]
) -> None:
    run_id = train(*settings, "epochs=50").info.run_id
    for arguments, reason in REFUSED.items():
        with pytest.raises(SettingError) as refused:
            train("resume=last", *arguments)
        assert re.search(reason, str(refused.value))
    client.set_tag(run_id, "code", "of another version")
    with pytest.raises(SettingError, match="another version of the training code"):
        train("resume=last", "epochs=75")
    client.set_terminated(run_id, "KILLED")
    with pytest.raises(SettingError, match=f"`echo-exp resume={run_id}` finishes it") as refused:
        train("resume=last", "epochs=75")
    assert "epochs is 75 here and 50 there" in str(refused.value)
