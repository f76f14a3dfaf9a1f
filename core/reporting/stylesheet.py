"""The drawings' stylesheet, for a page to inline or to serve."""

from importlib.resources import files

STYLESHEET = files("core.reporting").joinpath("drawings.css").read_text(encoding="utf-8")
