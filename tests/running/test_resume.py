"""A stored configuration is data: it can only call or look up what is known here."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from echo_exp import configuration
from echo_exp.configuration.assembly import assemble
from echo_exp.running import resume
from echo_exp.settings import SettingError
from echo_exp.tracking import Store, StoredRun


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        yield


class _Store:
    """A store with one run."""

    def __init__(self, config: Any, status: str = "FAILED") -> None:
        self.config, self.status = OmegaConf.to_yaml(config), status

    def find_run(self, which: str) -> StoredRun:
        return StoredRun(which, "1", "a run", self.status, {}, None, self.config, {}, 0)


def _find(stored: DictConfig, *overrides: str) -> DictConfig:
    given = compose("config", ["resume=abc", *overrides])
    return resume.find(cast("Store", _Store(stored)), given, []).config


def _resolved(*overrides: str) -> DictConfig:
    config = compose("config", list(overrides))
    OmegaConf.resolve(config)
    return config


@pytest.mark.parametrize("model", ["seq2seq", "encoder_decoder", "many_to_one", "stateless", "gru"])
def test_a_resumed_run_uses_its_own_configuration(model: str) -> None:
    stored = _resolved(f"model={model}", "seed=7")
    found = _find(stored)
    assert found.seed == 7
    assert found.model == stored.model


HOSTILE = {
    "model._target_": "os.system",
    "optimizer._target_": "echo_exp.models.Seq2Seq",
    "model.units": {"_target_": "os.system", "command": "true"},
    "model.layers": [{"_target_": "os.system", "command": "true"}],
    "trainer._target_": "builtins.exec",
    "callbacks.x._target_": "os.system",
    "seed": "${oc.env:HOME}",
}


@pytest.mark.parametrize("key", HOSTILE)
def test_a_configuration_that_would_run_foreign_code_is_refused(key: str) -> None:
    stored = _resolved()
    OmegaConf.set_struct(stored, False)
    OmegaConf.update(stored, key, HOSTILE[key], merge=False)
    with pytest.raises(SettingError, match="stored configuration would"):
        _find(stored)


def test_classes_that_the_user_names_in_this_call_are_allowed() -> None:
    stored = _resolved()
    stored.model._target_ = "mine.Model"
    with pytest.raises(SettingError, match=r"would call mine\.Model"):
        _find(stored)
    assert _find(stored, "model._target_=mine.Model").model._target_ == "mine.Model"


def _begun(*callbacks: str) -> StoredRun:
    tags = {"callbacks": ", ".join(callbacks)} if callbacks else {}
    return StoredRun("abc", "1", "a run", "FAILED", tags, None, None, {}, 0)


@pytest.mark.parametrize("given", [(), ("Zero",), ("Zero", "Look")])
def test_an_interrupted_run_is_only_continued_with_the_callbacks_of_its_beginning(
    given: tuple[str, ...],
) -> None:
    for began in ((), ("Zero",)):
        start = resume.Start(_resolved(), run=_begun(*began), callbacks=given)
        if began == given:
            start.check_callbacks()
        else:
            with pytest.raises(SettingError, match=r"resume=abc .* run abc began with"):
                start.check_callbacks()


def test_a_finished_run_without_callbacks_may_be_continued_with_some() -> None:
    resume.Start(_resolved(), shorter=_begun(), callbacks=("Zero",)).check_callbacks()
    with pytest.raises(SettingError, match="began with the callbacks Zero, given in Python"):
        resume.Start(_resolved(), shorter=_begun("Zero")).check_callbacks()


def _kin(*overrides: str) -> dict[str, str]:
    return resume.marks(_resolved(*overrides)).longer


@pytest.mark.parametrize("schedule", ["optimizer.warmup=0", "optimizer.warmup=5"])
def test_runs_that_differ_only_in_epochs_can_continue_each_other(schedule: str) -> None:
    assert _kin(schedule, "epochs=10") == _kin(schedule, "epochs=20") != _kin("seed=2", schedule)


def test_runs_whose_rate_depends_on_their_epochs_cannot_continue_each_other() -> None:
    cosine = "optimizer.schedule=cosine"
    assert _kin(cosine, "epochs=10") != _kin(cosine, "epochs=20")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [(["epochs=20"], "epochs=20 is not allowed"), ([], "resume=abc is not allowed")],
)
def test_a_finished_run_whose_rate_depends_on_its_epochs_is_not_trained_longer(
    overrides: list[str], message: str
) -> None:
    stored = _resolved("epochs=10", "optimizer.schedule=cosine")
    given = compose("config", ["resume=abc", *overrides])
    with pytest.raises(SettingError, match=rf"{message}.*schedule=cosine.* start a new run"):
        resume.find(cast("Store", _Store(stored, "FINISHED")), given, overrides)


def test_an_interrupted_run_of_a_version_without_schedules_continues_unchanged() -> None:
    stored = _resolved()
    OmegaConf.set_struct(stored, False)
    del stored.optimizer.schedule, stored.optimizer.warmup
    del stored.trainer.clip_norm, stored.model.chrono, stored.model.forget_bias
    found = _find(stored, "optimizer=adam", "model=seq2seq")
    assert found.optimizer == stored.optimizer
    group = assemble(found, configuration.read(found)).module.configure_optimizers().param_groups[0]
    assert (group["schedule"], group["warmup"]) == ("constant", 0)
