# Three targets from one file:
#   api         no torch, small; FastAPI, dashboard, migrations
#   worker-cpu  torch's CPU wheel
#   worker-gpu  torch's CUDA wheel (run it with the NVIDIA container runtime)
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    UV_NO_CACHE=1 \
    RANKWISE_DATA_DIR=/data
RUN groupadd --gid 10001 rankwise \
    && useradd --uid 10001 --gid rankwise --home-dir /home/rankwise --create-home rankwise \
    && mkdir /data && chown rankwise:rankwise /data \
    && pip install uv
WORKDIR /srv/rankwise
COPY requirements/ requirements/

FROM base AS api
RUN uv pip install --system --require-hashes -r requirements/service.lock
COPY alembic.ini ./
COPY migrations/ migrations/
COPY core/ core/
COPY api/ api/
USER rankwise
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["uvicorn", "--factory", "api.app:create_app", "--host", "0.0.0.0", "--port", "8000"]

FROM base AS torch-cpu
ARG TORCH=torch==2.13.0
RUN pip install --index-url https://download.pytorch.org/whl/cpu ${TORCH}

FROM base AS torch-gpu
ARG TORCH=torch==2.13.0
RUN pip install --index-url https://download.pytorch.org/whl/cu130 ${TORCH}

FROM torch-cpu AS worker-cpu
RUN uv pip install --system --require-hashes -r requirements/worker.lock
COPY core/ core/
COPY worker/ worker/
ENV RANKWISE_DEVICE=cpu
USER rankwise
VOLUME /data
# TERM goes to the worker's main process, which hands its running job over within 10 s.
STOPSIGNAL SIGTERM
CMD ["celery", "--app", "worker.app", "worker", "--concurrency", "1", "--queues", "default"]

FROM torch-gpu AS worker-gpu
RUN uv pip install --system --require-hashes -r requirements/worker.lock
COPY core/ core/
COPY worker/ worker/
ENV RANKWISE_DEVICE=cuda:0
USER rankwise
VOLUME /data
STOPSIGNAL SIGTERM
CMD ["celery", "--app", "worker.app", "worker", "--concurrency", "1", "--queues", "default"]
