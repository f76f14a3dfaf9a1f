"""Rankwise from Python and from the shell.

from rankwise import Client

with Client("http://127.0.0.1:8000", key) as rankwise:
    job = rankwise.submit({"preset": "best-no-training", "model": …, "task": …, "budget": …})
    job = rankwise.wait(job["id"])
    rankwise.download(job["id"], "smaller-model")
"""

from rankwise.client import Client
from rankwise.errors import RankwiseError, Refused, Unreachable

__all__ = ["Client", "RankwiseError", "Refused", "Unreachable"]
