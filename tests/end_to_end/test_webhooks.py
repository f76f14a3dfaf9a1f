"""A job that finishes on a real worker tells a real receiver."""

from standardwebhooks import Webhook

from tests.end_to_end.client import Client
from tests.webhooks.receiver import Receiver


def test_a_finished_job_is_told_of(client: Client) -> None:
    with Receiver() as receiver:
        made = client.post("/v1/webhook-endpoints", {"url": receiver.url}).json()
        job = client.run(client.recipe(method={"type": "svd"}, finetune={"type": "none"}))
        (got,) = receiver.wait_for(1)
        client.http.delete(f"/v1/webhook-endpoints/{made['id']}").raise_for_status()
    told = Webhook(made["secret"]).verify(got.body, got.headers)
    assert told["type"] == "job.succeeded"
    assert told["data"]["id"] == job["id"]
    assert told["data"]["artifact_sha256"]
    assert told["data"]["result"]["metrics"] == job["result"]["metrics"]
