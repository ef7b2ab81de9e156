"""The configuration: shipped files are valid, and the fingerprint covers what tells runs apart."""

from collections.abc import Iterator

import pytest
import torch
from hydra import compose
from hydra.initialize import initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from echo_exp import EchoProblem, configuration
from echo_exp.configuration import trust
from echo_exp.configuration.assembly import assemble
from echo_exp.settings import SettingError

EXPERIMENTS = sorted(path.stem for path in (configuration.FOLDER / "experiment").glob("*.yaml"))
FOR_ANY_PROBLEM = ("model=seq2seq_last", "model.stateful=false", "batch_size=1")
"""A network that reads the whole window first, and carries no state to the next."""
OPTIONS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in configuration.FOLDER.glob("*/*.yaml")
    if path.parent.name not in ("experiment", "study")
)


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        yield


def _composed(*overrides: str) -> DictConfig:
    return compose("config", list(overrides))


def test_the_default_is_the_tutorials_first_baseline() -> None:
    settings = configuration.read(_composed())
    assert settings.problem == EchoProblem(length=25, n_values=100, n_in=5, n_out=5)
    assert (settings.batch_size, settings.epochs) == (7, 500)
    assert _composed().model == {
        "_target_": "echo_exp.models.Seq2Seq",
        "units": 20,
        "layers": 1,
        "stateful": True,
        "forget_bias": 1,
        "chrono": None,
        "padding": None,
    }
    assert (_composed().batch_size, _composed().replicas) == (7, 1)
    assert _composed() == _composed("experiment=seq2seq_baseline")


def test_the_encoder_decoder_baseline_is_the_tutorials_second() -> None:
    config = _composed("experiment=encoder_decoder_baseline")
    settings = configuration.read(config)
    assert (settings.problem.n_in, settings.problem.n_out) == (5, 2)
    assert (settings.batch_size, settings.epochs) == (21, 5000)
    assert config.model.units == 150


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_can_be_read(experiment: str) -> None:
    configuration.read(_composed(f"experiment={experiment}"))


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_can_be_read(option: str) -> None:
    network = FOR_ANY_PROBLEM if option.startswith("problem=") else ()
    configuration.read(_composed(option, *network))


def test_the_fingerprint_distinguishes_experiments() -> None:
    reference = configuration.fingerprint(_composed())
    for override in ("seed=2", "model.units=21", "optimizer.epsilon=1e-8", "problem.n_values=99"):
        assert configuration.fingerprint(_composed(override)) != reference


def test_the_fingerprint_ignores_where_results_go() -> None:
    reference = configuration.fingerprint(_composed())
    for override in (
        "output_dir=elsewhere",
        "tracking=none",
        "resume=last",
        "export=true",
        "trainer.progress=false",
        "trainer.checkpoint_seconds=7",
    ):
        assert configuration.fingerprint(_composed(override)) == reference


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), True),
        (("+sweep.job=0",), False),
        (("export=true", "+sweep.job=0"), True),
        (("export=false",), False),
    ],
)
def test_a_single_run_stores_its_model_and_a_job_of_a_sweep_only_on_request(
    overrides: tuple[str, ...], expected: bool
) -> None:
    assert configuration.exports(_composed(*overrides)) is expected


def test_only_overrides_that_may_affect_the_result_are_compared() -> None:
    measured = ["seed=1", "+model.output_dir=x", "~trainer.threads", "callbacks.a.b=tracking"]
    incidental = [
        "output_dir=seed",
        "+tracking.uri=sqlite:///a?b=c",
        "~resume",
        "launch=joblib",
        "launch.jobs=2",
        "trainer.progress=false",
    ]
    assert configuration.measured([*measured, *incidental]) == measured


def test_parameters_are_flat_and_name_the_chosen_classes() -> None:
    parameters = configuration.parameters(_composed("model=encoder_decoder"))
    assert parameters["model"] == "EncoderDecoder"
    assert parameters["model.units"] == 150
    assert all(not isinstance(value, dict | DictConfig) for value in parameters.values())


def test_differences_are_those_of_the_given_settings() -> None:
    stored, given = _composed("model.units=30", "epochs=9"), _composed("model.units=40")
    units, epochs = "model.units is 40 here and 30 there", "epochs is 500 here and 9 there"
    both = {"epochs": epochs, "model.units": units}
    assert configuration.differences(stored, given, ["model.units=40"]) == {"model.units": units}
    assert configuration.differences(stored, given, []) == {}
    assert configuration.differences(stored, given, ["epochs=500", "model.units=40"]) == both
    assert configuration.differences(stored, given, ["experiment=any"]) == both
    assert configuration.differences(stored, stored, ["epochs=9"]) == {}


@pytest.mark.parametrize("named", ["model=seq2seq", "experiment=any"])
def test_a_setting_that_an_earlier_version_lacked_had_its_default(named: str) -> None:
    stored = _without(_composed(), "model", "forget_bias", "chrono")
    assert configuration.differences(stored, _composed(), [named]) == {}
    given = _composed("model.chrono=5")
    (difference,) = configuration.differences(stored, given, [named]).values()
    assert difference == "model.chrono is 5 here and None there"


def test_another_network_of_the_same_size_is_a_difference() -> None:
    stored, given = (
        _composed("model.units=20"),
        _composed("model=encoder_decoder", "model.units=20"),
    )
    (difference,) = configuration.differences(stored, given, ["model=encoder_decoder"]).values()
    assert "model._target_ is echo_exp.models.EncoderDecoder here" in difference


def test_an_unknown_setting_of_a_command_is_refused() -> None:
    config = compose("predict")
    configuration.check_keys(config, "predict")
    with pytest.raises(SettingError, match=r"sed=1 .* did you mean seed\?"):
        configuration.check_keys(compose("predict", ["+sed=1"]), "predict")


def test_an_unknown_setting_of_tracking_is_refused() -> None:
    with pytest.raises(SettingError, match=r"tracking\.url=x .* did you mean tracking\.uri\?"):
        configuration.tracking(_composed("+tracking.url=x"))


def test_a_value_that_follows_from_another_setting_cannot_be_set() -> None:
    with pytest.raises(SettingError, match=r"problem\.incomplete=true .* no such setting"):
        configuration.read(_composed("+problem.incomplete=true"))


def test_the_last_seed_is_the_largest_that_a_stream_takes() -> None:
    largest = 2**63 - 1
    assert configuration.read(_composed(f"seed={largest}")).seeds == range(largest, largest + 1)
    with pytest.raises(SettingError, match="seed="):
        configuration.read(_composed(f"seed={largest}", "replicas=2"))


def test_a_group_without_a_required_setting_is_refused() -> None:
    with pytest.raises(SettingError, match="n_in"):
        configuration.read(_composed("~trainer.threads", "problem.n_in=0"))


def test_the_classes_of_an_option_that_sets_other_groups_are_known() -> None:
    for option in ("mask", "sentinel", "drop"):
        target = _composed(f"missing={option}").missing._target_
        assert ("missing._target_", target) in trust.offered()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["problem.order=reversed"], "answer 1 .* timestep 1 of 5, .* 5 on: use a network"),
        (["model=seq2seq_padded", "problem.n_out=2", "problem.offset=1"], "use model=seq2seq_last"),
        (
            ["model=seq2seq_last", "problem.n_out=4", "problem.order=reversed"],
            "timestep 2 of 5, .* from timestep 4 on",
        ),
    ],
)
def test_a_network_that_would_answer_before_it_has_read_is_refused(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(SettingError, match=f"model.padding=.*{message}"):
        configuration.read(_composed(*overrides))


@pytest.mark.parametrize("model", ["seq2seq_last", "encoder_decoder", "one_to_one"])
def test_a_network_that_answers_after_it_has_read_is_allowed(model: str) -> None:
    configuration.read(
        _composed(f"model={model}", "problem.n_out=2", "problem.offset=3", "problem.order=forward")
    )


def test_a_run_from_before_a_setting_existed_can_be_read() -> None:
    stored = {k: v for k, v in _composed().items() if k not in ("inspect", "export")}
    config = OmegaConf.create(stored)
    assert not configuration.read(config).inspect


@pytest.mark.parametrize("model", ["seq2seq", "encoder_decoder", "many_to_one", "one_to_one"])
def test_a_run_from_before_these_settings_starts_with_the_same_weights(model: str) -> None:
    config = _composed(f"model={model}")
    new = [str(key) for key in config.model if "forget_bias" in str(key) or "chrono" in str(key)]
    assert new
    now, before = (
        assemble(each, configuration.read(each)).module.state_dict()
        for each in (config, _without(config, "model", *new))
    )
    assert all(torch.equal(value, before[name]) for name, value in now.items())


def _without(config: DictConfig, group: str, *settings: str) -> DictConfig:
    """A configuration as an earlier version wrote it, without some of today's settings."""
    stored = config.copy()
    OmegaConf.set_struct(stored, False)
    for setting in settings:
        del stored[group][setting]
    return stored
