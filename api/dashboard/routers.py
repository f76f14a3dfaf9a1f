"""The routes of all pages."""

from api.dashboard import sign_in
from api.dashboard.admin import endpoints as admin
from api.dashboard.compare import endpoints as compare
from api.dashboard.jobs import endpoints as jobs
from api.dashboard.jobs import tabs
from api.dashboard.library import endpoints as library
from api.dashboard.new_job import endpoints as new_job
from api.dashboard.queue import endpoints as queue
from api.dashboard.sweeps import endpoints as sweeps

DASHBOARD = tuple(
    page.router for page in (jobs, tabs, new_job, compare, sweeps, library, queue, admin, sign_in)
)
