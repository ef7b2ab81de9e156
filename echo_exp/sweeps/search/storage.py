"""Optuna's storage of the trials of a search, which several processes and machines may share."""

from pathlib import Path

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial
from sqlalchemy.pool import NullPool

from echo_exp.settings import SettingError, redacted

KEY = "hydra.sweeper.storage"
SCHEMES = ("sqlite", "journal", "postgresql", "mysql")
BUSY_SECONDS = 60
"""How long a process waits for an SQLite file that another is writing to."""

optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_storage(url: str) -> BaseStorage:
    """Opens a storage, and creates it if it is missing.

    Nothing of it is to be closed: a connection lasts as long as its transaction, so that none is
    left open, none goes stale and none is shared with a process that is forked.

    Raises:
        SettingError: It cannot be used.
    """
    scheme, _, path = str(url).partition(":///")
    if str(url).partition("://")[0].split("+")[0] not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise SettingError(KEY, redacted(str(url)), f"it must be one of {known}")
    try:
        if scheme in ("sqlite", "journal"):
            Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
        if scheme == "journal":
            return JournalStorage(JournalFileBackend(path))
        waits = {"timeout": BUSY_SECONDS} if scheme == "sqlite" else {}
        return RDBStorage(url, engine_kwargs={"connect_args": waits, "poolclass": NullPool})
    except Exception as error:  # what drivers raise has no common class
        reason = redacted(str(error).splitlines()[0])
        raise SettingError(KEY, redacted(url), f"it cannot be used ({reason})") from None


def open_trial(study: optuna.Study, storage: BaseStorage, number: int) -> Trial:
    """Returns the means to write to a trial that is running; its sampler is not asked.

    Args:
        study: Its study.
        storage: Where that is kept.
        number: The trial's number.
    """
    quiet = optuna.load_study(
        study_name=study.study_name, storage=storage, sampler=RandomSampler(), pruner=study.pruner
    )
    found = quiet.trials[number]  # all are read: of others Optuna's cache takes no settings
    return Trial(quiet, found._trial_id)
