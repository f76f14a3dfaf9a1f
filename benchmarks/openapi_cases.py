"""Cases that Schemathesis makes from the OpenAPI document: no 5xx, and nothing undocumented.

Recipes may name a dataset on the hub. Where none answers, the documented 503 says so and stands.

    python -m benchmarks.openapi_cases [--examples 60] [--seed 17]

Every operation gets valid and invalid requests; with a failure, the request that reproduces it is
printed. The service is the embedded default, in a folder of its own.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Err
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from demo.assets import model_folder, write_texts
from demo.service import running_service

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TIMEOUT_S = 20


def run_cases(
    url: str, key: str, known: Mapping[str, str], examples: int, seed_value: int = 17
) -> Counter[str]:
    """How many cases each operation stood; in every second, path parameters are those `known`.

    Raises an ExceptionGroup of what did not stand, with requests that reproduce it.
    """
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    headers = {"Authorization": f"Bearer {key}"}
    counts: Counter[str] = Counter()

    def stand(case: Case[Any]) -> None:
        if counts[case.operation.label] % 2:
            case.path_parameters |= {n: known[n] for n in case.path_parameters if n in known}
        response = case.call(headers=headers, timeout=TIMEOUT_S)
        counts[case.operation.label] += 1
        away = response.status_code == 503 and response.json()["code"] == "hub_away"
        case.validate_response(response, checks=CHECKS + [not_a_server_error] * (not away))

    failures: list[Exception] = []
    for result in schema.get_all_operations():
        if isinstance(result, Err):
            failures.append(result.err())
            continue
        operation = result.ok()
        for mode in GenerationMode:
            cases = given(case=operation.as_strategy(generation_mode=mode))
            try:
                seed(seed_value)(bounded(examples)(cases(stand)))()
            except Unsatisfiable:  # nothing that this operation takes can be wrong
                continue
            except Exception as failure:
                failures.append(failure)
    if failures:
        raise ExceptionGroup(f"{len(failures)} operations do not keep their word", failures)
    return counts


def bounded(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    decorate: Callable[[Callable[..., None]], Callable[..., None]] = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    return decorate


def existing(url: str, key: str, folder: Path) -> dict[str, str]:
    """A dataset and a finished job, by the names of path parameters."""
    write_texts(folder / "texts.csv")
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        files = {"file": ("texts.csv", (folder / "texts.csv").read_bytes())}
        dataset = client.post("/v1/datasets", files=files).raise_for_status().json()["id"]
        recipe = {
            "model": {"type": "path", "path": "model"},
            "task": {
                "type": "text-classification",
                "dataset": {"type": "upload", "id": dataset},
            },
            "budget": {"type": "keep_ratio", "value": 0.3},
        }
        job = client.post("/v1/jobs", json=recipe).raise_for_status().json()["id"]
        client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    return {"job_id": job, "dataset_id": dataset, "type": "kfac"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=60, help="for each operation and mode")
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder), model_folder().parent) as service,
    ):
        known = existing(service.url, service.key, Path(folder))
        counts = run_cases(service.url, service.key, known, options.examples, options.seed)
    print("| operation | cases |\n|---|---:|")
    for label, count in sorted(counts.items()):
        print(f"| {label} | {count} |")
    print(f"| all | {counts.total()} |")


if __name__ == "__main__":
    main()
