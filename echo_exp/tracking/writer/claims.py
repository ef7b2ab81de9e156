"""Who does what, among processes and machines that share nothing but a tracking store.

A claim is a tag of the MLflow experiment, one for each process that wants the same thing. MLflow
has no operation that only one of two can win, so the processes agree as in Dekker's algorithm: each
writes that it asks before it looks at the others. Whoever sees nobody else holds it; of two that
see each other the one with the smaller name waits, and the other withdraws.

A claim lives as long as its tag changes. Whether it does is judged by an observer's own clock, so
that no two clocks are compared, and only while the observer can look: nobody gives signs of life
through a store that is away.
"""

import contextlib
import json
import os
import platform
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

PREFIX = "claim"
BEATS = 4
"""Signs of life in the time after which a claim is taken for dead."""
LOOK_SECONDS = 0.1
MOST_PROCESSES = 2**31 - 1
"""A process number is not larger."""


@dataclass(frozen=True)
class Claim:
    """What one process says about one thing.

    Attributes:
        holder: The process, for people.
        place: The system that its process number belongs to; empty where that is not known.
        pid: Its process number there.
        held: Whether it has the thing; else it asks for it.
        beat: Counts its signs of life.
    """

    holder: str
    place: str
    pid: int
    held: bool = False
    beat: int = 0

    @property
    def dead(self) -> bool:
        """Whether its process ran here and has ended."""
        return bool(self.place) and self.place == _place() and not _runs(self.pid)


class Claims:
    """The claims of this process on things of one experiment.

    Args:
        client: The tracking store.
        experiment_id: The experiment.
        seconds: A claim without a sign of life for so long is void.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, seconds: float) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.seconds = seconds
        self.name = uuid.uuid4().hex[:12]
        self.lost: set[str] = set()
        self._mine: dict[str, Claim] = {}
        self._seen: dict[str, tuple[Claim, float]] = {}  # since when a claim has not changed
        self._beaten = self._looked = time.monotonic()
        self._heard = time.monotonic(), time.time()  # when the others last heard of this process

    def take(self, thing: str, patient: bool = False) -> str | None:
        """Claims a thing; returns nothing where that succeeds, else who has it.

        Args:
            thing: What is claimed.
            patient: Whether to wait for a claim to give a sign of life, or to become void.
        """
        mine = Claim(f"{platform.node()}, process {os.getpid()}", _place(), os.getpid())
        self._write(thing, mine)
        seen: dict[str, Claim] = {}
        while True:
            others = dict(self._others(thing))
            before = {
                name: claim for name, claim in others.items() if claim.held or name < self.name
            }
            alive = [
                c for name, c in before.items() if not patient or seen.setdefault(name, c) != c
            ]
            if alive:
                self._delete(self._key(thing, self.name))
                return alive[0].holder
            if not others:
                break
            time.sleep(LOOK_SECONDS)  # the others have seen this claim, or hold the thing soon
            self.beat()
        held = replace(mine, held=True)
        self._write(thing, held)
        if not self._mine:
            self._heard = time.monotonic(), time.time()
        self._mine[thing] = held
        return None

    def release(self, thing: str) -> None:
        """Gives a thing back."""
        if self._mine.pop(thing, None) is not None:
            self._delete(self._key(thing, self.name))

    def release_all(self) -> None:
        """Gives everything back."""
        for thing in list(self._mine):
            self.release(thing)

    @contextlib.contextmanager
    def held(self, thing: str) -> Iterator[None]:
        """Waits for a thing and has it in the ``with`` block."""
        while self.take(thing) is not None:
            time.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            self.release(thing)

    def taken(self, things: Iterable[str]) -> dict[str, str]:
        """Returns which of some things other processes have or ask for, and who they are."""
        tags = self._tags()
        holders = {thing: self._others(thing, tags) for thing in things}
        return {thing: others[0][1].holder for thing, others in holders.items() if others}

    def beat(self) -> None:
        """Gives a sign of life when it is time; finds out which claims others have taken over."""
        if time.monotonic() - self._beaten < self.seconds / BEATS:
            return
        self._beaten = time.monotonic()
        tags = self._tags() if self._mine else {}
        void = self._void()
        for thing, claim in list(self._mine.items()):
            gone = self._key(thing, self.name) not in tags
            if gone and (void or self._others(thing, tags)):  # else it was deleted by hand
                self.lost.add(thing)
                del self._mine[thing]
                continue
            self._mine[thing] = replace(claim, beat=claim.beat + 1)
            self._write(thing, self._mine[thing])
        self._heard = time.monotonic(), time.time()

    def _void(self) -> bool:
        """Returns whether others may have taken this process for dead.

        One clock stands still while the machine sleeps, the other may be set.
        """
        monotonic, wall = self._heard
        return max(time.monotonic() - monotonic, time.time() - wall) > self.seconds

    def _others(self, thing: str, tags: dict[str, str] | None = None) -> list[tuple[str, Claim]]:
        """Returns the living claims of others on a thing; removes the dead ones."""
        prefix = self._key(thing, "")
        found = []
        for key, value in (self._tags() if tags is None else tags).items():
            name = key.removeprefix(prefix)
            if name in (key, self.name):
                continue
            claim = _read(value)
            if claim is None or claim.dead or self._silent(key, claim):
                self._delete(key)
            else:
                found.append((name, claim))
        return sorted(found, key=lambda other: other[0])

    def _silent(self, key: str, claim: Claim) -> bool:
        now = time.monotonic()
        before, since = self._seen.get(key, (None, now))
        if before != claim:
            since = now
        self._seen[key] = claim, since
        return now - since > self.seconds

    def _key(self, thing: str, name: str) -> str:
        allowed = re.sub(r"[^/\w-]", "_", thing)
        return f"{PREFIX}.{allowed}.{name}"

    def _tags(self) -> dict[str, str]:
        now = time.monotonic()
        if now - self._looked > self.seconds / 2:  # what was in between has not been seen
            self._seen.clear()
        try:
            tags = dict(self.client.get_experiment(self.experiment_id).tags)
        except Exception:
            self._seen.clear()
            raise
        self._looked = now
        return tags

    def _write(self, thing: str, claim: Claim) -> None:
        text = json.dumps(asdict(claim))
        self.client.set_experiment_tag(self.experiment_id, self._key(thing, self.name), text)

    def _delete(self, key: str) -> None:
        self._seen.pop(key, None)
        with contextlib.suppress(MlflowException):  # another has removed it
            self.client.delete_experiment_tag(self.experiment_id, key)


def _read(text: str) -> Claim | None:
    """Returns the claim in a tag; None where people have put something else there."""
    try:
        claim = Claim(**json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return None
    valid = all(type(getattr(claim, field.name)) is field.type for field in fields(claim))
    return claim if valid and 0 < claim.pid <= MOST_PROCESSES else None


def _place() -> str:
    """Returns what tells this system's process numbers from those of all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
