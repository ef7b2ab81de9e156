"""Claims: one of many processes gets a thing, and others take over from a dead one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from echo_exp.tracking.access.connection import reach
from echo_exp.tracking.writer import claims
from echo_exp.tracking.writer.claims import Claims


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.whenever: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.whenever()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return reach(f"sqlite:///{tmp_path_factory.mktemp('claims')}/mlflow.db", None).client


@pytest.fixture
def experiment(client: MlflowClient, request: pytest.FixtureRequest) -> str:
    return str(client.create_experiment(request.node.name))


def test_one_process_holds_a_claim_until_it_releases_it(
    client: MlflowClient, experiment: str
) -> None:
    one, other = (Claims(client, experiment, seconds=60) for _ in range(2))
    assert one.take("job/1") is None
    assert one.take("job/2") is None
    holder = other.take("job/1")
    assert holder is not None
    assert "process" in holder
    assert other.taken(["job/1", "job/2", "job/3"]) == {"job/1": holder, "job/2": holder}
    one.release("job/1")
    assert other.take("job/1") is None
    one.release_all()
    other.release_all()
    assert client.get_experiment(experiment).tags == {}


def test_of_many_simultaneous_claims_one_succeeds(client: MlflowClient, experiment: str) -> None:
    crowd = [Claims(client, experiment, seconds=60) for _ in range(8)]
    with ThreadPoolExecutor(len(crowd)) as pool:
        for thing in ("a", "b", "c"):
            answers = list(pool.map(lambda each, thing=thing: each.take(thing), crowd))
            assert answers.count(None) == 1


def test_a_claim_of_a_process_that_has_ended_is_void(
    client: MlflowClient, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, other = (Claims(client, experiment, seconds=60) for _ in range(2))
    assert dead.take("job") is None
    monkeypatch.setattr(claims, "_runs", lambda _: False)
    assert other.take("job") is None


def test_a_claim_of_another_machine_is_void_when_it_falls_silent(
    client: MlflowClient, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(claims, "time", clock)
    silent, other = (Claims(client, experiment, seconds=60) for _ in range(2))
    monkeypatch.setattr(claims, "_place", lambda: "")
    assert silent.take("job") is None
    assert other.take("job") is not None
    for _ in range(4):  # as long as it beats it is alive
        clock.sleep(40)
        silent.beat()
        assert other.taken(["job"])
    clock.sleep(61)
    assert other.taken(["job"])  # nobody looked meanwhile
    for _ in range(3):
        clock.sleep(25)
        other.taken(["job"])
    assert other.taken(["job"]) == {}
    assert other.take("job") is None
    silent.beat()
    assert silent.lost == {"job"}


def test_an_abandoned_request_does_not_block_others_for_ever(
    client: MlflowClient, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "time", Clock())
    asking, other = (Claims(client, experiment, seconds=2) for _ in range(2))
    asking.name, other.name = "b", "a"  # the second is the one that waits
    monkeypatch.setattr(claims, "_place", lambda: "")
    asking._write("job", claims.Claim("somebody", "", 1))
    assert other.take("job") is None


def test_waiting_takes_over_a_claim_from_a_dead_process_but_not_from_a_living_one(
    client: MlflowClient, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(claims, "time", clock)
    monkeypatch.setattr(claims, "_place", lambda: "")
    holder, other = (Claims(client, experiment, seconds=2) for _ in range(2))
    assert holder.take("run") is None
    clock.whenever = holder.beat
    assert other.take("run", patient=True) is not None
    clock.whenever = lambda: None
    assert other.take("run", patient=True) is None


def test_names_that_mlflow_does_not_allow_can_be_claimed(
    client: MlflowClient, experiment: str
) -> None:
    one, other = (Claims(client, experiment, seconds=60) for _ in range(2))
    assert one.take("parent/it's a/strange: näme") is None
    assert other.take("parent/it's a/strange: näme") is not None


def test_a_tag_that_is_not_a_claim_is_left_alone(client: MlflowClient, experiment: str) -> None:
    client.set_experiment_tag(experiment, "owner", "me")
    assert Claims(client, experiment, seconds=60).take("job") is None


@pytest.mark.parametrize(
    "value",
    [
        *("", "mine", "[]", "{}", "null", "1e999", "[" * 100_000),
        '{"holder": "me"}',
        '{"holder": "me", "place": "", "pid": 1, "held": true, "beat": 0, "more": 1}',
        '{"holder": "me", "place": "", "pid": "1", "held": true, "beat": 0}',
        '{"holder": "me", "place": "", "pid": -1, "held": true, "beat": 0}',
        '{"holder": "me", "place": "", "pid": 99999999999999999999, "held": true, "beat": 0}',
        '{"holder": null, "place": [], "pid": 1, "held": 1, "beat": 0}',
    ],
)
def test_an_unreadable_claim_counts_as_none(
    client: MlflowClient, experiment: str, value: str
) -> None:
    one, other = (Claims(client, experiment, seconds=60) for _ in range(2))
    client.set_experiment_tag(experiment, "claim.job.0", value[:5000])
    assert one.take("job") is None
    assert other.take("job") is not None
    one.release_all()
    assert client.get_experiment(experiment).tags == {}


@pytest.mark.parametrize("edit", ["deleted", "made unreadable"])
def test_a_claim_that_is_edited_by_hand_is_renewed(
    client: MlflowClient, experiment: str, edit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(claims, "time", clock)
    one, other = (Claims(client, experiment, seconds=60) for _ in range(2))
    assert one.take("job") is None
    (key,) = client.get_experiment(experiment).tags
    if edit == "deleted":
        client.delete_experiment_tag(experiment, key)
    else:
        client.set_experiment_tag(experiment, key, "spoilt")
    clock.sleep(20)
    one.beat()
    assert not one.lost
    assert other.take("job") is not None


def test_a_claim_that_is_deleted_and_then_taken_is_lost(
    client: MlflowClient, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(claims, "time", clock)
    one, other = (Claims(client, experiment, seconds=60) for _ in range(2))
    assert one.take("job") is None
    (key,) = client.get_experiment(experiment).tags
    client.delete_experiment_tag(experiment, key)
    assert other.take("job") is None
    clock.sleep(20)
    one.beat()
    assert one.lost == {"job"}


def test_a_lost_claim_is_forgotten_when_it_is_given_up(
    client: MlflowClient, experiment: str
) -> None:
    mine = Claims(client, experiment, seconds=60)
    mine.lost.add("job/1")
    mine.release("job/1")
    assert not mine.lost


def test_a_machine_is_identified_by_more_than_its_name() -> None:
    boot = Path("/proc/sys/kernel/random/boot_id")
    assert (
        boot.exists() and boot.read_text(encoding="utf-8").strip() in claims._place()
    ) or not claims._place()
