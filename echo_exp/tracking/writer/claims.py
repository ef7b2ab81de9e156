"""Decides who does what among processes and machines that share nothing but a tracking store.

A claim is a tag of the MLflow experiment, one for each process that wants the same thing. No
operation of MLflow both has a single winner and can be taken back from a dead process
(``docs/design.md``), so processes agree as in Dekker's algorithm: each writes its claim before it
looks for others. A process that sees no other claim holds the thing. Of two that see each other,
the one with the smaller name waits and the other withdraws.

A claim is alive as long as its tag changes. Each observer judges that by its own clock, so that no
two clocks are compared, and only while it can reach the store: nobody can give signs of life
through an unavailable store.
"""

import contextlib
import json
import os
import platform
import re
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

PREFIX = "claim"
BEATS = 4
"""Signs of life that a process gives in the time after which its claims become void."""
LOOK_SECONDS = 0.1
MOST_PROCESSES = 2**31 - 1
"""The largest possible process id."""


@dataclass(frozen=True)
class Claim:
    """The claim of one process on one thing.

    Attributes:
        holder: The process, described for people.
        place: The system in which its process id is valid; empty if unknown.
        pid: Its process id there.
        held: Whether it holds the thing; otherwise it only asks for it.
        beat: Counts its signs of life.
    """

    holder: str
    place: str
    pid: int
    held: bool = False
    beat: int = 0

    @property
    def dead(self) -> bool:
        """Whether its process ran on this system and has ended."""
        return bool(self.place) and self.place == _place() and not _runs(self.pid)


class Claims:
    """The claims of this process on things of one experiment.

    Its threads use them in turn: one gives signs of life while another takes or releases something.

    Args:
        client: The tracking store.
        experiment_id: The experiment.
        seconds: A claim is void after this time without a sign of life.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, seconds: float) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.seconds = seconds
        self.name = uuid.uuid4().hex[:12]
        self.lost: set[str] = set()
        self._mutex = threading.RLock()
        self._mine: dict[str, Claim] = {}
        self._seen: dict[str, tuple[Claim, float]] = {}  # and the time of its last change
        self._beaten = self._looked = time.monotonic()
        self._heard = time.monotonic(), time.time()  # when the others last heard of this process

    def take(self, thing: str, patient: bool = False) -> str | None:
        """Claims a thing.

        Args:
            thing: What to claim.
            patient: Whether to wait until another claim gives a sign of life, or becomes void.

        Returns:
            None if it succeeded; otherwise the process that has the thing.
        """
        with self._mutex:
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
                time.sleep(LOOK_SECONDS)  # the others either see this claim or soon hold the thing
                self.beat()
            held = replace(mine, held=True)
            self._write(thing, held)
            if not self._mine:
                self._heard = time.monotonic(), time.time()
            self._mine[thing] = held
            return None

    def release(self, thing: str) -> None:
        """Gives up the claim on a thing, and forgets whether it was lost."""
        with self._mutex:
            self.lost.discard(thing)
            if self._mine.pop(thing, None) is not None:
                self._delete(self._key(thing, self.name))

    def release_all(self) -> None:
        """Gives up all claims."""
        for thing in list(self._mine):
            self.release(thing)

    @contextlib.contextmanager
    def held(self, thing: str) -> Iterator[None]:
        """Waits for a thing and holds it in the ``with`` block."""
        while self.take(thing) is not None:
            time.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            self.release(thing)

    def taken(self, things: Iterable[str]) -> dict[str, str]:
        """Returns which of these things other processes hold or ask for, with the process."""
        with self._mutex:
            tags = self._tags()
            holders = {thing: self._others(thing, tags) for thing in things}
            return {thing: others[0][1].holder for thing, others in holders.items() if others}

    def beat(self) -> None:
        """Gives a sign of life if one is due, and notices which claims others have taken over."""
        with self._mutex:
            if time.monotonic() - self._beaten < self.seconds / BEATS:
                return
            self._beaten = time.monotonic()
            tags = self._tags() if self._mine else {}
            void = self._void()
            for thing, claim in list(self._mine.items()):
                gone = self._key(thing, self.name) not in tags
                if gone and (
                    void or self._others(thing, tags)
                ):  # otherwise somebody deleted the tag by hand
                    self.lost.add(thing)
                    del self._mine[thing]
                    continue
                self._mine[thing] = replace(claim, beat=claim.beat + 1)
                self._write(thing, self._mine[thing])
            self._heard = time.monotonic(), time.time()

    def _void(self) -> bool:
        """Returns whether others may have declared this process's claims void.

        It uses two clocks: one stops while the machine sleeps, the other may be changed.
        """
        monotonic, wall = self._heard
        return max(time.monotonic() - monotonic, time.time() - wall) > self.seconds

    def _others(self, thing: str, tags: dict[str, str] | None = None) -> list[tuple[str, Claim]]:
        """Returns the living claims of others on a thing, and removes the dead ones."""
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
        if now - self._looked > self.seconds / 2:  # changes in between were missed
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
        with contextlib.suppress(MlflowException):  # another process has removed it
            self.client.delete_experiment_tag(self.experiment_id, key)


def _read(text: str) -> Claim | None:
    """Returns the claim in a tag; None if people have put something else there."""
    try:
        claim = Claim(**json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return None
    valid = all(type(getattr(claim, field.name)) is field.type for field in fields(claim))
    return claim if valid and 0 < claim.pid <= MOST_PROCESSES else None


def _place() -> str:
    """Returns an identifier of the system in which process ids are unique; empty if unknown."""
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
