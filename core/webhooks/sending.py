"""One POST to one address: bounded in time and bytes, following nothing."""

import time
from dataclasses import dataclass

import httpx

from core.webhooks.addresses import AddressRefused, Target, resolve

CONNECT_S = 5.0
WHOLE_S = 15.0
MOST_ANSWER_BYTES = 4096
"""Of the answer so much is read, and kept for whoever looks into the delivery."""
GONE = 410


@dataclass(frozen=True)
class Outcome:
    status: int | None
    """None where no answer came."""
    answer: str
    """Its beginning."""
    error: str | None
    seconds: float

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """The receiver wants no more of them."""
        return self.status == GONE


def send(url: str, headers: dict[str, str], body: bytes, *, allow_private: bool) -> Outcome:
    """Redirects are not followed, and no proxy of the environment is asked."""
    started = time.monotonic()
    try:
        target = resolve(url, allow_private)
        status, answer = _post(target, headers, body, started + WHOLE_S)
        return Outcome(status, answer, None, time.monotonic() - started)
    except (AddressRefused, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        told = str(error) or type(error).__name__
        return Outcome(None, "", told, time.monotonic() - started)


def _post(target: Target, headers: dict[str, str], body: bytes, deadline: float) -> tuple[int, str]:
    """To the address that was looked at, under the name that it was found by."""
    timeout = httpx.Timeout(CONNECT_S, read=WHOLE_S, write=WHOLE_S)
    with (
        httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False) as client,
        client.stream(
            "POST",
            target.connected_url,
            content=body,
            headers={"Host": target.host_header, **headers},
            extensions={"sni_hostname": target.host},
        ) as response,
    ):
        answer = b""
        for chunk in response.iter_raw():
            answer += chunk
            if len(answer) >= MOST_ANSWER_BYTES or time.monotonic() > deadline:
                break
    return response.status_code, answer[:MOST_ANSWER_BYTES].decode(errors="replace")
