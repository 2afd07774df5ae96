"""Workers: processes here, or those of a Dask scheduler, that make the pieces of a job.

A job packs what all of its pieces need once, as a callable of one piece, and hands the pieces out; results come back as
they are ready. Only the job's own process writes into its folder.
"""

from evo_fair.jobs.workers.given import Workers, as_workers
from evo_fair.jobs.workers.opened import checked_jobs, open_team, ready_workers
from evo_fair.jobs.workers.pieces import FileWork, make_files
from evo_fair.jobs.workers.team import Team

__all__ = ["FileWork", "Team", "Workers", "as_workers", "checked_jobs", "make_files", "open_team", "ready_workers"]
