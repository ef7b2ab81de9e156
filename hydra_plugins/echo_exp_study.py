"""The sweeper of `study=...`: hands the cells of a study to the launcher, one job each."""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from echo_exp import study


class StudySweeper(BasicSweeper):
    """Takes its jobs from the study in the configuration instead of the command line."""

    def sweep(self, arguments: list[str]) -> Any:
        """Launches a job for each cell of the study."""
        assert self.config is not None
        assert self.launcher is not None
        here = [
            "resume=auto",
            f"tracking.experiment={self.config.tracking.experiment}",
            f"hydra.sweep.dir='{self.config.hydra.sweep.dir}'",
            "hydra.mode=MULTIRUN",
        ]
        cells = study.read(self.config, arguments).cells
        jobs = [[*here, *cell.overrides] for cell in cells]
        return self.launcher.launch(jobs, initial_job_idx=0)
