"""Which service, and with which key: options, then environment, then a file.

# ~/.config/rankwise/config.yaml
url: https://rankwise.example.org
key: rw_…
"""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from rankwise.errors import UsageError

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Place:
    url: str
    key: str


def config_path() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "rankwise" / "config.yaml"


def find_place(url: str | None, key: str | None) -> Place:
    """
    Raises:
        UsageError: there is no key, or the file is none of ours.
    """
    stored = read_config(config_path())
    found_url = url or os.environ.get("RANKWISE_URL") or stored.get("url") or DEFAULT_URL
    found_key = key or os.environ.get("RANKWISE_KEY") or stored.get("key")
    if not found_key:
        raise UsageError(
            f"No API key: set RANKWISE_KEY, give --key, or write `key:` into {config_path()}."
        )
    return Place(found_url, found_key)


def read_config(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise UsageError(f"{path} must hold `url:` and `key:`, as text.")
    return content
