"""What is left as it is, and why: every matrix of a checkpoint that is no target."""

import re
from collections.abc import Iterable, Sequence

from core.planning.checkpoint import Checkpoint, is_parameter
from core.planning.generic import why_left
from core.planning.plan import LeftModules, TargetLayer

NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
NOT_NAMED = "not among its family's layers"


def left_modules(checkpoint: Checkpoint, targets: Iterable[TargetLayer]) -> tuple[LeftModules, ...]:
    """By stored name, modules that differ in their numbers together; vectors are not listed."""
    taken = {target.name for target in targets}
    taken |= {_without_prefix(name) for name in taken}
    groups: dict[tuple[str, str], list[int]] = {}
    for name, tensor in checkpoint.tensors.items():
        module = name.removesuffix(".weight")
        if {module, _without_prefix(module)} & taken or len(tensor.shape) < 2:
            continue
        if not is_parameter(name, tensor):
            continue
        reason = why_left(name, tensor) or NOT_NAMED
        groups.setdefault((NUMBER.sub("*", module), reason), []).append(tensor.size)
    return tuple(_group(*group, sizes) for group, sizes in groups.items())


def _group(name: str, reason: str, sizes: Sequence[int]) -> LeftModules:
    return LeftModules(name=name, count=len(sizes), params=sum(sizes), reason=reason)


def _without_prefix(name: str) -> str:
    """As in the base model: a checkpoint may hold it alone."""
    return name.partition(".")[2]
