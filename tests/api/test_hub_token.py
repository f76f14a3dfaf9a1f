"""Who may set a project's hub token, and what it may be."""

import json

import pytest

from tests.api.conftest import Api


@pytest.mark.parametrize("token", ["", "with space", "line\nbreak", "x" * 513])
def test_what_no_token_can_be_is_refused_without_an_echo(api: Api, token: str) -> None:
    answer = api.http.put("/v1/hub-token", json={"token": token}, headers=api.headers)
    problem = answer.json()
    assert answer.status_code == 422
    assert problem["errors"][0]["pointer"] == "/token"
    assert not token or json.dumps(token)[1:-1] not in answer.text


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_the_hub_token_is_the_admins(api: Api, method: str) -> None:
    headers = {"Authorization": f"Bearer {api.key(['submit'])}"}
    answer = api.http.request(method, "/v1/hub-token", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
