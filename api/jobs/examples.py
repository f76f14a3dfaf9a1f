"""What the documentation shows of jobs."""

from typing import Any

RECIPES: dict[str, Any] = {
    "kfac": {
        "name": "sentiment-30",
        "model": {"type": "path", "path": "/models/sentiment-bert"},
        "task": {
            "type": "text-classification",
            "dataset": {"type": "upload", "id": "ds_01jt0v3n8gq6y5zkx4w2c7r9ah"},
            "text": "text",
            "label": "label",
        },
        "method": {"type": "kfac"},
        "budget": {"type": "keep_ratio", "value": 0.3},
        "finetune": {"type": "distill", "epochs": 1},
        "labels": {"team": "search"},
    },
    "fwsvd": {
        "model": {"type": "path", "path": "/models/sentiment-bert"},
        "task": {
            "type": "text-classification",
            "dataset": {"type": "path", "path": "/datasets/pairs.jsonl"},
            "text": "question",
            "text_pair": "answer",
        },
        "method": {"type": "fwsvd"},
        "budget": {"type": "rank_ratio", "value": 0.33},
        "finetune": {"type": "plain", "epochs": 3},
    },
}
ID = "job_01jt0v4c2m8e0t7q5yz3h1kx9b"
OWN = f"/v1/jobs/{ID}"
NOUNS = (
    *("stages", "layers", "metrics", "changed-answers", "attempts", "events", "logs"),
    "artifacts",
)

QUEUED: dict[str, Any] = {
    "object": "job",
    "id": ID,
    "name": "sentiment-30",
    "labels": {"team": "search"},
    "status": "queued",
    "priority": 0,
    "stage": None,
    "progress": None,
    "recipe": RECIPES["kfac"],
    "recipe_hash": "4f1c8b0d9a7e6f5c3b2a1908f7e6d5c4b3a29180f7e6d5c4b3a291807f6e5d4c",
    "sweep_id": None,
    "result": None,
    "error": None,
    "artifact_dropped_at": None,
    "attempts": 0,
    "crashes": 0,
    "created_at": "2026-05-04T09:30:00Z",
    "started_at": None,
    "finished_at": None,
    "links": {"self": OWN} | {noun: f"{OWN}/{noun}" for noun in NOUNS},
}
RUNNING = QUEUED | {
    "status": "running",
    "stage": "statistics",
    "progress": {"done": 512, "total": 1024, "unit": "examples", "eta_s": 41.0},
    "artifact_dropped_at": None,
    "attempts": 1,
    "started_at": "2026-05-04T09:30:01Z",
}
CANCELLING = RUNNING | {"status": "cancelling"}
PAUSING = RUNNING | {"status": "pausing"}
CHANGES: dict[str, Any] = {
    "rename": {"name": "sentiment-30 for production"},
    "first": {"priority": 50},
    "relabel": {"labels": {"team": None, "stage": "production"}},
}
SUCCEEDED = QUEUED | {
    "status": "succeeded",
    "stage": None,
    "artifact_dropped_at": None,
    "attempts": 1,
    "started_at": "2026-05-04T09:30:01Z",
    "finished_at": "2026-05-04T09:36:12Z",
    "result": {
        "metrics": {
            "dense": {"accuracy": {"value": 0.912, "interval": [0.894, 0.929], "n": 1200}},
            "finetuned": {"accuracy": {"value": 0.904, "interval": [0.887, 0.921], "n": 1200}},
        },
        "params": {
            "model": {"before": 22713216, "after": 15282432},
            "targets": {"before": 10616832, "after": 3185049},
        },
    },
}
STAGE: dict[str, Any] = {
    "object": "stage",
    "stage": "statistics",
    "state": "done",
    "source": "computed",
    "done": 1024,
    "total": 1024,
    "unit": "examples",
    "eta_s": None,
    "seconds": 83.4,
    "summary": {"layers": 36},
    "fingerprint": "9a7e6f5c3b2a1908f7e6d5c4b3a29180f7e6d5c4b3a291807f6e5d4c4f1c8b0d",
    "started_at": "2026-05-04T09:31:10Z",
    "finished_at": "2026-05-04T09:32:33Z",
}
LAYER: dict[str, Any] = {
    "object": "layer",
    "position": 0,
    "name": "bert.encoder.layer.0.attention.self.query",
    "out_features": 384,
    "in_features": 384,
    "rank": 57,
    "params_before": 147456,
    "params_after": 43776,
    "retained_energy": 0.981,
    "predicted_loss_increase": 0.0021,
    "measured_error": 0.138,
    "spectrum": [41.2, 17.9, 9.4],
}
CHANGED_ANSWER: dict[str, Any] = {
    "object": "changed_answer",
    "position": 0,
    "row": 417,
    "kind": "worse",
    "texts": ["I expected better of them, and got it."],
    "true": "positive",
    "dense": "positive",
    "result": "negative",
    "dense_error": 0.0,
    "result_error": 1.0,
    "dense_confidence": 0.83,
    "result_confidence": 0.61,
}
METRIC: dict[str, Any] = {
    "object": "metric",
    "phase": "finetuned",
    "name": "accuracy",
    "value": 0.904,
    "interval": [0.887, 0.921],
    "n": 1200,
    "drop": 0.008,
    "drop_interval": [-0.003, 0.019],
}
ATTEMPT: dict[str, Any] = {
    "object": "attempt",
    "epoch": 1,
    "owner": "worker-1:4711",
    "started_at": "2026-05-04T09:30:01Z",
    "ended_at": "2026-05-04T09:36:12Z",
    "outcome": "succeeded",
    "detail": None,
}
EVENT: dict[str, Any] = {
    "object": "event",
    "seq": 1,
    "epoch": 0,
    "type": "job.queued",
    "data": {"reason": "submitted"},
    "created_at": "2026-05-04T09:30:00Z",
}
LOG_LINE: dict[str, Any] = {
    "object": "log_line",
    "seq": 23,
    "epoch": 1,
    "level": "warning",
    "stage": "evaluate",
    "message": "the compressed model is 0.86 times as fast as the dense one at batch 8",
    "created_at": "2026-05-04T09:36:02Z",
}
LOG_TEXT = (
    "2026-05-04T09:36:02.000Z WARNING evaluate: the compressed model is 0.86 times as fast "
    "as the dense one at batch 8\n"
)
STREAM = (
    "event: job.queued\n"
    'data: {"object":"event","seq":1,"epoch":0,"type":"job.queued",'
    '"data":{"reason":"submitted"},"created_at":"2026-05-04T09:30:00Z"}\n'
    "id: 1\n\n"
)
