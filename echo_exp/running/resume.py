"""Where a run starts: at the beginning, where it was interrupted, or where a shorter one ended."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf

from echo_exp import configuration
from echo_exp.configuration import trust
from echo_exp.configuration.code import code
from echo_exp.configuration.identity import Fingerprints
from echo_exp.configuration.renamed import renamed
from echo_exp.settings import SettingError
from echo_exp.tracking import Store, StoredRun

AUTO = "auto"
"""`resume=auto`: resumes the run of the same settings, if there is one; otherwise starts one."""
REPEATS = "fingerprint.seeds"
"""The tag with a run's fingerprint without its seeds: equal for runs that repeat each other."""
CALLBACKS = "callbacks"
"""The tag of a run with the names of the callbacks that were given in Python."""
CONTINUES = "continues"
"""The tag of a run that names the shorter run that trained its first epochs."""


@dataclass(frozen=True)
class Start:
    """Where a run starts.

    Attributes:
        config: Its configuration.
        run: The interrupted run that is resumed; None for a new one.
        shorter: The finished run that trained the first epochs, if there is one.
        callbacks: Names of the callbacks that were given in Python. The configuration does not tell
            what they do, so no other run is the same.
    """

    config: DictConfig
    run: StoredRun | None = None
    shorter: StoredRun | None = None
    callbacks: Sequence[str] = ()

    @functools.cached_property
    def marks(self) -> "Marks":
        """What tells which runs are the same as its run."""
        return marks(self.config)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of its run by which it and related runs are found."""
        if not self.callbacks:
            return self.marks.tags
        return {CALLBACKS: ", ".join(self.callbacks), "code": self.marks.code}

    def check_callbacks(self) -> None:
        """Checks that a run is continued with the callbacks with which it began.

        A finished run without callbacks may be continued with some, because that is another run.

        Raises:
            SettingError: It is not.
        """
        named = self.run or self.shorter
        if named is None:
            return
        began = named.tags.get(CALLBACKS, "")
        other = began != ", ".join(self.callbacks)
        if other and (began or self.run is not None):
            how = f"with the callbacks {began}, given in Python" if began else "without callbacks"
            reason = f"run {named.run_id} began {how}: continue it in the same way"
            raise SettingError("resume", named.run_id, reason)

    def told(self, overrides: Sequence[str]) -> list[str]:
        """Returns a call's overrides, with an id for ``last``, which means another run later."""
        named = self.run or self.shorter
        last = {} if named is None else {"resume=last": f"resume={named.run_id}"}
        return [last.get(override, override) for override in overrides]


@dataclass(frozen=True)
class Marks:
    """What tells which runs are the same as a run, or related to it.

    Attributes:
        fingerprints: The fingerprints of its configuration.
        code: The version of all code that determines the result, including the user's.
    """

    fingerprints: Fingerprints
    code: str

    @property
    def same(self) -> dict[str, str]:
        """The tags of runs of the same settings and code."""
        return {"fingerprint": self.fingerprints.whole, "code": self.code}

    @property
    def longer(self) -> dict[str, str]:
        """The tags of runs of which a longer one begins exactly as a shorter one does."""
        return {"fingerprint.epochs": self.fingerprints.longer, "code": self.code}

    @property
    def tags(self) -> dict[str, str]:
        """All tags of the run."""
        return self.same | self.longer | {REPEATS: self.fingerprints.repeats}


def marks(config: DictConfig) -> Marks:
    """Returns what tells which runs are the same as one with this configuration."""
    return Marks(configuration.fingerprints(config), code_of(config))


def code_of(config: DictConfig) -> str:
    """Returns the version of all code that determines the result, including the user's."""
    return code(frozenset(str(name) for _, name in trust.targets(config)))


def find(store: Store, config: DictConfig, overrides: Sequence[str]) -> Start:
    """Finds the run that ``resume`` names and the configuration it began with.

    Args:
        store: Where to look.
        config: The configuration of this call.
        overrides: The settings that the user gave in this call; they must agree with the run's,
            except for more ``epochs`` than a finished run has.

    Raises:
        SettingError: There is no such run, it had other settings, it has finished and no more
            epochs are asked for, or its configuration cannot be from this program.
    """
    run = _named(store, config.resume)
    stored = _configuration(run, config)
    different = configuration.differences(stored, config, overrides)
    longer = different.pop("epochs", None)
    if run.status != "FINISHED" and longer:
        hint = f"`echo-exp resume={run.run_id}` finishes it; then it can be given more epochs"
        different["epochs"] = f"{longer} ({hint})"
    if different:
        reason = "that run has a different configuration: " + "; ".join(different.values())
        raise SettingError("resume", config.resume, reason)
    for key in configuration.INCIDENTAL:
        OmegaConf.update(stored, key, OmegaConf.select(config, key))
    if run.status != "FINISHED":
        return Start(stored, run, _tagged(store, run))
    named = any(override.startswith("epochs=") for override in overrides)
    _check_longer(run, stored, config, named or longer is not None)
    stored.resume, stored.epochs = None, config.epochs
    return Start(stored, shorter=run)


def _named(store: Store, which: str) -> StoredRun:
    try:
        return store.find_run(str(which))
    except LookupError as error:
        raise SettingError("resume", which, str(error)) from None


def _configuration(run: StoredRun, config: DictConfig) -> DictConfig:
    if run.config is None:
        raise SettingError("resume", config.resume, f"run {run.run_id} has no configuration")
    stored = renamed(OmegaConf.create(run.config))
    trust.check(stored, trust.targets(config), ("resume", config.resume))
    return stored


def _check_longer(run: StoredRun, stored: DictConfig, config: DictConfig, asked: bool) -> None:
    """Checks that a finished run can be continued, and that more epochs are asked for."""
    finished = f"run {run.run_id} has finished its {stored.epochs:,} epochs"
    named = ("epochs", config.epochs) if asked else ("resume", config.resume)
    if not configuration.can_grow(stored):
        schedule = f"optimizer.schedule={stored.optimizer.schedule}"
        reason = f"{finished}, over which {schedule} has changed the learning rate: start a new run"
        raise SettingError(*named, reason)
    if not asked or config.epochs <= stored.epochs:
        raise SettingError(*named, f"{finished}: set epochs= above {stored.epochs} to continue it")
    if run.tags.get("code") != code_of(stored):
        reason = f"{finished} with another version of the training code: start a new run"
        raise SettingError("resume", config.resume, reason)


def _tagged(store: Store, run: StoredRun) -> StoredRun | None:
    """Returns the shorter run that an interrupted one continues, if it still exists."""
    try:
        return store.find_run(run.tags[CONTINUES])
    except LookupError:  # also if there is no such tag
        return None
