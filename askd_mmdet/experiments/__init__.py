"""One command a table: which networks to train and test for it, the jobs that do so, and what comes out."""

from askd_mmdet.experiments.estimate import seconds_of
from askd_mmdet.experiments.jobs import Job, run_jobs
from askd_mmdet.experiments.plan import Plan, Table
from askd_mmdet.experiments.results import save_results, summarise
from askd_mmdet.experiments.runs import Launch, check_failures, describe, repeat

__all__ = [
    'Job',
    'Launch',
    'Plan',
    'Table',
    'check_failures',
    'describe',
    'repeat',
    'run_jobs',
    'save_results',
    'seconds_of',
    'summarise',
]
