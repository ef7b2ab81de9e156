"""Jobs form one stack if they differ only in seeds, epochs and the optimizer's numbers."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from echo_exp import configuration
from echo_exp.configuration import memory
from echo_exp.settings import SettingError
from echo_exp.sweeps import plan, stacks
from echo_exp.sweeps.plan import Job, make_jobs
from echo_exp.sweeps.stacks import make_stacks, read_stack, write_stack


def numbers(*overrides: str, workers: int = 1) -> list[list[int]]:
    """The jobs of each stack of a sweep, given as space-separated overrides."""
    return [[job.number for job in stack] for stack in make_stacks(jobs(*overrides), workers)]


def jobs(*overrides: str) -> list[Job]:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        return make_jobs(line.split() for line in overrides)


@pytest.mark.parametrize(
    "setting",
    [
        "seed=7",
        "seed=7 epochs=9",
        "replicas=3",
        "optimizer.learning_rate=1",
        "optimizer.beta_1=0.99",
        "optimizer.warmup=5",
    ],
)
def test_jobs_with_equal_tensor_shapes_form_one_stack(setting: str) -> None:
    assert [sorted(stack) for stack in numbers("seed=1", setting)] == [[0, 1]]


@pytest.mark.parametrize(
    "setting",
    [
        "model.units=7",
        "batch_size=21",
        "representation=scaled",
        "trainer.validate_every=50",
        "trainer.clip_norm=1",
        "optimizer.schedule=cosine",
        "tracking.experiment=other",
        "export=false",
        "problem.n_values=10",
    ],
)
def test_jobs_that_differ_in_any_other_setting_form_several_stacks(setting: str) -> None:
    assert numbers("seed=1", f"seed=2 {setting}", "seed=3") == [[0, 2], [1]]


@pytest.mark.parametrize("name", ["Callback", "LearningRateMonitor", "ModelCheckpoint"])
def test_jobs_with_callbacks_are_trained_alone(name: str) -> None:
    callback = f"+callbacks.mine={{_target_:pytorch_lightning.callbacks.{name}}}"
    assert numbers(f"seed=1 {callback}", f"seed=2 {callback}") == [[0], [1]]


def test_of_jobs_that_differ_only_in_epochs_the_longer_continues_the_shorter() -> None:
    lines = [f"seed={seed} epochs={epochs}" for seed in (1, 2) for epochs in (25, 50)]
    assert numbers(*lines) == [[0, 2], [1, 3]]
    assert sorted(numbers("seed=1 epochs=25", "seed=2 epochs=50")[0]) == [0, 1]


def test_jobs_whose_learning_rate_depends_on_their_epochs_train_together() -> None:
    lines = [f"seed=1 epochs={epochs} optimizer.schedule=cosine" for epochs in (25, 50)]
    assert [sorted(stack) for stack in numbers(*lines)] == [[0, 1]]


def test_each_worker_gets_a_stack() -> None:
    lines = [f"seed={n}" for n in range(7)]
    assert [len(stack) for stack in numbers(*lines, workers=3)] == [2, 3, 2]
    assert [len(stack) for stack in numbers(*lines, workers=100)] == [1] * 7


def test_a_stack_holds_as_many_networks_as_train_fastest_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stacks, "networks_together", lambda _: 4)
    lines = [f"seed={4 * n} replicas=2" for n in range(5)]
    assert sorted(len(stack) for stack in numbers(*lines)) == [1, 2, 2]


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [((9, 1, 1, 1), [9, 3]), ((3, 3, 1), [3, 4]), ((1, 1, 1, 1), [4]), ((2, 4, 2), [2, 4, 2])],
)
def test_a_stack_is_cut_by_its_networks_and_not_by_its_jobs(
    replicas: tuple[int, ...], expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "networks_together", lambda _: 4)
    found = make_stacks(jobs(*[f"seed={9 * n} replicas={r}" for n, r in enumerate(replicas)]), 1)
    assert [sum(job.varied["replicas"] for job in stack) for stack in found] == expected


def test_a_long_test_makes_smaller_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_memory", lambda: 2.0**33)
    setting = "experiment=delayed_echo model=transformer model.padding=pre"
    short, long = jobs(setting, f"{setting} problem.test_lengths=[2000]")
    assert stacks.networks_together(long) < stacks.networks_together(short)


def test_large_networks_make_smaller_stacks() -> None:
    small = stacks.networks_together(jobs("model.units=20")[0])
    large = stacks.networks_together(jobs("experiment=encoder_decoder_baseline")[0])
    assert 4 <= large <= 16
    assert small == 64


def test_a_process_receives_exactly_the_composed_settings(tmp_path: Path) -> None:
    stack = jobs("seed=3 epochs=7", "seed=4 epochs=8 optimizer.learning_rate=0.1")
    told = read_stack(write_stack(stack, tmp_path, ["optimizer.learning_rate", "seed"]))
    assert [each["name"] for each in told] == ["lr 0.001, seed 3", "lr 0.1, seed 4"]
    assert [each["job"] for each in told] == [0, 1]
    assert told[1]["overrides"] == ["seed=4", "epochs=8", "optimizer.learning_rate=0.1"]
    assert told[1]["settings"]["optimizer.learning_rate"] == 0.1
    assert (told[0]["settings"]["seed"], told[0]["settings"]["epochs"]) == (3, 7)


def test_the_file_of_a_stack_contains_no_password(tmp_path: Path) -> None:
    uri = "tracking.uri=http://me:secret@localhost:5000"
    path = write_stack(jobs(f"seed=1 {uri}", f"seed=2 {uri}"), tmp_path, ["seed"])
    assert "secret" not in path.read_text(encoding="utf-8")


def test_fused_must_be_true_or_false() -> None:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        config = compose("config", ["sweep.fused=maybe"])
    with pytest.raises(SettingError, match=r"sweep.fused=maybe.*true.*false"):
        plan.settings(config)
