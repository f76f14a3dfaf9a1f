"""The API: `uvicorn --factory api.app:create_app`. Nothing here imports torch."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import openapi, problems
from api.artifacts.endpoints import router as artifacts
from api.comparisons.endpoints import router as comparisons
from api.csv_pages import CsvPages
from api.dashboard.routers import DASHBOARD
from api.datasets.endpoints import router as datasets
from api.health.endpoints import router as health
from api.hub_token.endpoints import router as hub_token
from api.jobs.endpoints import router as jobs
from api.jobs.history_endpoints import router as job_history
from api.jobs.stream import EventPoller
from api.keys.endpoints import router as keys
from api.keys.service import ensure_bootstrap_key
from api.methods.endpoints import router as methods
from api.models.endpoints import router as models
from api.plans.endpoints import router as plans
from api.presets.endpoints import router as presets
from api.rate_limits import RateLimiter
from api.reference.endpoints import router as reference
from api.retention.endpoints import router as retention
from api.security_headers import SecurityHeaders
from api.sweeps.endpoints import router as sweeps
from api.usage.endpoints import router as usage
from api.webhook_endpoints.endpoints import router as webhook_endpoints
from core.database.sessions import make_engine, make_sessions, read_only
from core.jobs.doorbell import Doorbell
from core.jobs.maintenance import Maintenance
from core.settings import Settings, get_settings
from core.storage.opening import open_storage
from core.webhooks.delivering import Deliverer

ROUTERS = (
    *(jobs, job_history, sweeps, artifacts, plans, presets, datasets, models, hub_token, methods),
    *(comparisons, webhook_endpoints, usage, retention, keys, health, reference, *DASHBOARD),
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """An app on a migrated database; the environment's settings unless others are given."""
    settings = settings or get_settings()
    app = FastAPI(
        title="Rankwise",
        version="1",
        lifespan=_running,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    _attach(app, settings)
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    openapi.install(app)
    app.add_middleware(CsvPages)
    app.add_middleware(SecurityHeaders)
    return app


def _attach(app: FastAPI, settings: Settings) -> None:
    """What every request may use, made once; `api.dependencies` hands it out."""
    app.state.settings = settings
    app.state.engine = make_engine(settings)
    app.state.sessions = make_sessions(app.state.engine)
    app.state.read_sessions = read_only(app.state.sessions)
    app.state.storage = open_storage(settings)
    app.state.doorbell = Doorbell(settings)
    app.state.poller = EventPoller(app.state.read_sessions)
    app.state.rate_limiter = RateLimiter(settings.rate_limit_per_s)


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """From the first request to the last: bootstrap key, poller, chores, webhooks."""
    settings: Settings = app.state.settings
    if settings.bootstrap_key:
        ensure_bootstrap_key(app.state.sessions, settings.bootstrap_key)
    maintenance = Maintenance(settings)
    maintenance.start()
    deliverer = Deliverer(settings)
    deliverer.start()
    app.state.poller.start()
    gc.collect()
    gc.freeze()  # what is there now stays: no later collection halts requests to look at it
    try:
        yield
    finally:
        app.state.poller.stop()
        maintenance.stop()
        deliverer.stop()
        app.state.engine.dispose()
