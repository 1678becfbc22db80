"""A search over settings of an arm, in an Optuna study that several machines may share; bad trials end early."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

from balancer.contract.registry import load_model
from balancer.errors import ConfigError
from balancer.lab.job import Job
from balancer.lab.plan import Plan
from balancer.lab.results import Result, newest, read_results
from balancer.lab.run import BUSY, RUNS, begun, log_of
from balancer.lab.search import Range, TuneSettings, trial_jobs
from balancer.record.signals import read_signals
from balancer.train.stopping import StopRequests

STUDY: Final = "study.db"
_LOOK: Final = 1.0  # seconds between two looks at a run
_BEAT: Final = 10  # seconds between two signs of life of a trial


def tune(
    plan: Plan,
    search: TuneSettings,
    folder: Path,
    *,
    trials: int,
    at_once: int,
    storage: str | None,
    stop: StopRequests,
    said: Callable[[str], None],
) -> optuna.Study:
    """Do trials until the study has `trials` finished ones, pruned ones among them, or a signal comes.

    A trial is the runs of one choice of settings. Its value is the mean, over runs and groups, of the distance of the
    figure to its best. What a kill broke off is tried again, and goes on from its checkpoint.

    Raises:
        ConfigError: the study's storage cannot be used, or the study there is of another search.
    """
    (folder / RUNS).mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = opened_study(plan, search, folder, storage)
        trial_of = _Trial(plan, search, folder, stop)

        def ended(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            said(f"trial {trial.number}: {described(trial)}")
            if stop.number or _finished(study) >= trials:
                study.stop()

        stop.begin()
        if _finished(study) < trials:
            study.optimize(trial_of, n_jobs=at_once, callbacks=[ended], catch=(_Failed,))
    return study


def described(trial: optuna.trial.FrozenTrial) -> str:
    """A trial's settings and what came of it, in a line."""
    settings = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in trial.params.items()
    )
    if trial.value is not None and trial.state == optuna.trial.TrialState.COMPLETE:
        broken = trial.user_attrs.get("broken")
        return f"{settings}: {trial.value:.4f}" + (f", but {broken}" if broken else "")
    why = trial.user_attrs.get("why", "")
    return f"{settings}: {trial.state.name.lower()}" + (f" ({why})" if why else "")


def best_of(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """The finished trial of the smallest value among those that keep the guard."""
    kept = [
        trial
        for trial in study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
        if not trial.user_attrs.get("broken") and trial.value is not None
    ]
    return min(kept, key=lambda trial: float(trial.value or 0.0), default=None)


class _Failed(Exception):
    """A run of a trial ended with an error, or was stopped."""


class _Trial:
    def __init__(self, plan: Plan, search: TuneSettings, folder: Path, stop: StopRequests) -> None:
        self._plan: Final = plan
        self._search: Final = search
        self._folder: Final = folder
        self._stop: Final = stop
        self._figures: Final = load_model(plan.lab.model)[0].figures()

    def __call__(self, trial: optuna.Trial) -> float:
        values = {key: _suggested(trial, key, values) for key, values in self._search.space.items()}
        results = []
        for position, job in enumerate(trial_jobs(self._plan, self._search, values)):
            for start in self._plan.starts_needed(job):
                self._run(start, None)
            results.append(self._run(job, trial if position == 0 else None))
        broken = [
            f"{name} is {value:.4g} from its best, more than {bound:g}"
            for name, bound in self._search.guard.items()
            if (value := self._distance(results, name)) > bound
        ]
        trial.set_user_attr("broken", "; ".join(broken))
        return self._distance(results, self._search.figure)

    def _distance(self, results: list[Result], name: str) -> float:
        spec = self._figures[name]
        return float(np.mean([spec.distance(group[name]) for result in results for group in result.figures.values()]))

    def _run(self, job: Job, trial: optuna.Trial | None) -> Result:
        """A run's result: it is made, gone on with, or was there; `trial` is told of what its probes find."""
        while True:
            known = newest(read_results(self._folder)).get(job.key)
            if known is not None:
                if known.error:
                    if trial is not None:
                        trial.set_user_attr("why", known.error)
                    raise _Failed(known.error)
                return known
            child = begun(job, self._folder)
            try:
                while child.poll() is None:
                    time.sleep(_LOOK)
                    if trial is not None:
                        self._look(job, trial)
                    if self._stop.number:
                        raise _Failed("stopped")
            finally:
                if child.poll() is None:
                    child.terminate()
                    child.wait()
            if child.returncode == BUSY:
                time.sleep(_LOOK)
            elif child.returncode:
                raise _Failed(f"status {child.returncode}; see {log_of(job, self._folder)}")

    def _look(self, job: Job, trial: optuna.Trial) -> None:
        """Tell the study of the probes so far.

        Raises:
            TrialPruned: the study gives the trial up.
        """
        name = self._search.prune_by
        if name is None:
            return
        try:
            columns = read_signals(self._folder / RUNS / job.folder)
        except (OSError, FileNotFoundError):
            return
        for step, value in zip(columns["step"], columns.get(name, np.empty(0)), strict=False):
            if math.isfinite(value) and step > trial.user_attrs.get("looked", -1):
                trial.report(float(value), int(step))
                trial.set_user_attr("looked", int(step))
        if trial.should_prune():
            raise optuna.TrialPruned


def _suggested(trial: optuna.Trial, key: str, values: Range) -> Any:
    if values.choices:
        return trial.suggest_categorical(key, values.choices)
    assert values.low is not None and values.high is not None
    if values.whole:
        return trial.suggest_int(key, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(key, values.low, values.high, log=values.log)


def opened_study(plan: Plan, search: TuneSettings, folder: Path, storage: str | None = None) -> optuna.Study:
    """The study of a search, made where it is not there, in its storage or else in a file of the folder.

    Raises:
        ConfigError: the storage cannot be used, or the study there is of another search.
    """
    url = storage or f"sqlite:///{(folder / STUDY).resolve()}"
    name = f"{plan.path.stem}: {search.arm} on {search.task}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            kept = RDBStorage(
                url,
                heartbeat_interval=_BEAT,
                grace_period=3 * _BEAT,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
            study = optuna.create_study(
                study_name=name,
                storage=kept,
                load_if_exists=True,
                direction="minimize",
                sampler=optuna.samplers.TPESampler(seed=search.seeds[0]),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=search.startup),
            )
    except Exception as error:  # whatever its database says
        raise ConfigError(f"--storage {url}: {type(error).__name__}: {error}") from None
    searched = search.model_dump(mode="json")
    if "search" not in study.user_attrs:
        study.set_user_attr("search", searched)
    elif study.user_attrs["search"] != searched:
        raise ConfigError(
            f"--storage {url}: the study {name!r} there is of another search: choose another --out or storage"
        )
    return study


def _finished(study: optuna.Study) -> int:
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return len(study.get_trials(deepcopy=False, states=states))
