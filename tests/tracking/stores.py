"""A store and its artifacts, made without training and without the writer."""

from dataclasses import dataclass
from pathlib import Path

from mlflow.tracking import MlflowClient

from echo_exp.tracking.access.connection import Access, reach
from echo_exp.tracking.cleaning.checkpoints import Naming
from echo_exp.tracking.cleaning.places import Places
from echo_exp.tracking.cleaning.survey import Survey, survey

NAMING = Naming("checkpoints", "best.ckpt")
CONFIG = "tracking:\n  uri: sqlite:///{output}/mlflow.db\n  artifacts: {output}/artifacts\n"
CHECKPOINTS = {"last.ckpt": 300, "best.ckpt": 100, "whole_blocks/last.ckpt": 200}


@dataclass(frozen=True)
class MadeStore:
    """A local store in a folder of output."""

    output: Path
    access: Access
    experiment_id: str

    @classmethod
    def at(cls, output: Path) -> "MadeStore":
        access = reach(f"sqlite:///{output}/mlflow.db", str(output / "artifacts"))
        experiment = access.client.create_experiment("echo", (output / "artifacts").as_uri())
        return cls(output, access, experiment)

    @property
    def client(self) -> MlflowClient:
        return self.access.client

    @property
    def places(self) -> Places:
        return Places.of(self.access, self.output, self.output / "spool")

    def survey(self) -> Survey:
        return survey(self.access, self.places, NAMING)

    def run(
        self,
        status: str = "FINISHED",
        kind: str = "run",
        parent: str | None = None,
        files: dict[str, int] | None = None,
    ) -> str:
        """Makes a run with a configuration and checkpoints; returns its id."""
        tags = {"kind": kind} | ({"mlflow.parentRunId": parent} if parent else {})
        run = self.client.create_run(self.experiment_id, tags=tags)
        run_id = str(run.info.run_id)
        self.client.log_metric(run_id, "train/loss", 0.5, step=1)
        if status != "RUNNING":
            self.client.set_terminated(run_id, status)
        home = self.artifacts(run_id)
        checkpoints = CHECKPOINTS if files is None else files
        write(home, {f"checkpoints/{name}": size for name, size in checkpoints.items()})
        if kind == "run":
            (home / "config.yaml").write_text(CONFIG.format(output=self.output), encoding="utf-8")
        return run_id

    def model(self, run_id: str | None, size: int) -> str:
        """Makes a model, of a run if it has one; returns its id."""
        model = self.client.create_logged_model(self.experiment_id, "model", run_id)
        write(self.output / "artifacts" / "models" / model.model_id, {"artifacts/MLmodel": size})
        return str(model.model_id)

    def artifacts(self, run_id: str) -> Path:
        return self.output / "artifacts" / run_id / "artifacts"

    def checkpoints(self, run_id: str) -> set[str]:
        """The files of a run's checkpoints."""
        folder = self.artifacts(run_id) / "checkpoints"
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)) for path in files}

    def remove(self, name: str) -> None:
        """Removes everything of the given kind."""
        for item in self.survey().removable[name]:
            item.remove()


def write(folder: Path, files: dict[str, int]) -> None:
    """Writes files of so many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
