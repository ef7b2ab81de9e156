"""Which jobs a sweep has: Hydra's grammar, read without a launcher."""

from collections.abc import Iterator, Sequence

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException

from echo_exp import configuration
from echo_exp.configuration import exits
from echo_exp.settings import SettingError
from echo_exp.sweeps import study
from hydra_plugins.echo_exp_sweeper import combinations

from .. import matrix

MODELS = matrix.options("model")
GRAMMAR = {
    # what is given to -m: the values of each job
    "seed=1,2": ["seed=1", "seed=2"],
    "seed=choice(1, 2)": ["seed=1", "seed=2"],
    "seed=1": ["seed=1"],
    "seed=range(3)": ["seed=0", "seed=1", "seed=2"],
    "seed=range(1, 8, 3)": ["seed=1", "seed=4", "seed=7"],
    "seed=range(start=5, stop=3, step=-1)": ["seed=5", "seed=4"],
    "optimizer.learning_rate=range(0.1, 0.4, step=0.1)": [
        "optimizer.learning_rate=0.1",
        "optimizer.learning_rate=0.2",
        "optimizer.learning_rate=0.3",
    ],
    "seed=sort(3, 1, 2)": ["seed=1", "seed=2", "seed=3"],
    "seed=sort(choice(3, 1, 2), reverse=true)": ["seed=3", "seed=2", "seed=1"],
    "seed=sort(range(3), reverse=true)": ["seed=2", "seed=1", "seed=0"],
    "seed=tag(a, b, choice(1, 2))": ["seed=1", "seed=2"],
    "seed=int(choice(1.0, 2.0))": ["seed=1", "seed=2"],
    "optimizer.learning_rate=float(choice(1, 2))": [
        "optimizer.learning_rate=1.0",
        "optimizer.learning_rate=2.0",
    ],
    "inspect=bool(choice(0, 1))": ["inspect=false", "inspect=true"],
    "tracking.experiment=str(choice(1, 2))": [
        "tracking.experiment='1'",
        "tracking.experiment='2'",
    ],
    "seed=int(3.0)": ["seed=3"],
    "model=seq2seq,stateless": ["model=seq2seq", "model=stateless"],
    "model=glob(*)": [f"model={name}" for name in MODELS],
    "model=glob(*, exclude=*_*)": [f"model={name}" for name in MODELS if "_" not in name],
    "model=glob([seq*, one*], exclude=[*padded])": [
        "model=one_to_one",
        "model=seq2seq",
        "model=seq2seq_last",
    ],
    "experiment=glob(*)": [f"experiment={name}" for name in matrix.options("experiment")],
    "tracking.experiment='a, b','c'": ["tracking.experiment='a, b'", "tracking.experiment=c"],
    'tracking.experiment="it\'s"': ["tracking.experiment='it\\'s'"],
    "+callbacks={a:{x:1}},{}": ["+callbacks={a: {x: 1}}", "+callbacks={}"],
    "+callbacks.a.layers=[1,2],[3]": ["+callbacks.a.layers=[1,2]", "+callbacks.a.layers=[3]"],
    "++seed=1,2": ["++seed=1", "++seed=2"],
    "~callbacks": ["~callbacks"],
    "output_dir=${oc.env:HOME}": ["output_dir='${oc.env:HOME}'"],
}


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(configuration.FOLDER), version_base="1.3"):
        yield


def _loader() -> ConfigLoader:
    return GlobalHydra.instance().config_loader()


def _values(jobs: Sequence[Sequence[str]]) -> list[str]:
    return [override for (override,) in jobs]


@pytest.mark.parametrize("override", GRAMMAR)
def test_a_sweep_follows_hydras_grammar(override: str) -> None:
    assert _values(combinations([override], _loader())) == GRAMMAR[override]


@pytest.mark.parametrize("override", GRAMMAR)
def test_hydra_reads_each_job_back(override: str) -> None:
    for arguments in combinations([override], _loader()):
        compose("config", arguments)


@pytest.mark.parametrize(
    "override", ["seed=shuffle(range(9))", "seed=shuffle(choice(0,1,2,3,4,5,6,7,8))"]
)
def test_a_shuffled_sweep_has_the_same_order_at_each_start(override: str) -> None:
    first = _values(combinations([override], _loader()))
    assert _values(combinations([override], _loader())) == first
    in_order = [f"seed={number}" for number in range(9)]
    assert sorted(first) == in_order
    assert first != in_order


def test_jobs_are_all_combinations_with_the_last_setting_varying_fastest() -> None:
    jobs = combinations(["epochs=25", "seed=1,2", "model=seq2seq,stateless"], _loader())
    assert jobs == [
        ["epochs=25", f"seed={seed}", f"model={model}"]
        for seed in (1, 2)
        for model in ("seq2seq", "stateless")
    ]


def test_if_a_setting_is_given_twice_the_last_counts() -> None:
    assert combinations(["seed=1,2", "seed=3"], _loader()) == [["seed=3"]]


WRONG = {
    "optimizer.learning_rate=interval(0, 1)": "optimizer.learning_rate=interval.*a search draws",
    "seed=range(5, 5)": r"seed=range\(5, 5\).*nothing to choose",
    "seed=range(1, 5, 0)": "seed=range.*cannot be listed",
    "model=glob(none*)": "model=glob.*nothing to choose",
    "seed=glob(*)": "seed=glob.*nothing to choose",
    "study=ignore_state,topologies": "study=.*a study is a sweep",
    "study=glob(*)": "study=.*a study is a sweep",
    "search=choice(cheapest)": "search=.*a search is a sweep",
    "launch=basic,joblib": "launch=.*in the same way",
}


@pytest.mark.parametrize("override", WRONG)
def test_an_invalid_sweep_is_refused(override: str) -> None:
    with pytest.raises(SettingError, match=WRONG[override]):
        combinations([override], _loader())


@pytest.mark.parametrize(
    "override",
    ["seed=json_str([1])", "seed=int(many)", "seed=tag(1)", "seed=choice(", "seed=choice()"],
)
def test_hydras_own_errors_are_passed_on(override: str) -> None:
    with pytest.raises(HydraException) as error:
        combinations([override], _loader())
    message, code = exits.explain(error.value)
    assert code == 2
    assert message.startswith(f"{override} cannot be read as setting=value: ")
    assert len(message.splitlines()) == 1


def test_settings_of_an_experiment_file_are_overrides() -> None:
    params = {"seed": "range(1, 3)", "epochs": 25, "model.stateful": True, "callbacks": {"a": [1]}}
    assert study.lines(params) == [
        "seed=range(1, 3)",
        "epochs=25",
        "model.stateful=true",
        "callbacks={a: [1]}",
    ]
