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

    It need not be closed. A connection lasts only as long as its transaction, so none is left open,
    goes stale, or is shared with a forked process.

    Args:
        url: The setting `hydra.sweeper.storage`.

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
    """Returns a running trial to write to, without asking the sampler for settings.

    Args:
        study: The trial's study.
        storage: The storage of the study.
        number: The trial's number.
    """
    quiet = optuna.load_study(
        study_name=study.study_name, storage=storage, sampler=RandomSampler(), pruner=study.pruner
    )
    found = quiet.trials[number]  # reads all: Optuna stores settings only of trials in its cache
    return Trial(quiet, found._trial_id)
