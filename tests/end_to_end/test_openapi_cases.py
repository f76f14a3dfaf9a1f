"""The small run of `benchmarks.openapi_cases`, on a service with a finished job."""

from benchmarks.openapi_cases import run_cases
from demo.service import Service
from tests.end_to_end.client import Client


def test_whatever_is_sent_the_answer_is_documented(service: Service, client: Client) -> None:
    job = client.run(client.recipe(finetune={"type": "none"}))
    known = {
        "job_id": job["id"],
        "dataset_id": job["recipe"]["task"]["dataset"]["id"],
        "name": "model.safetensors",
        "type": "kfac",
    }
    counts = run_cases(service.url, service.key, known, examples=12)
    assert counts.total() > 400
