"""The methods this service knows, from their configs."""

from api.methods.schemas import Method
from api.problems import not_found
from core.recipe.methods import METHOD_CONFIGS


def all_methods() -> list[Method]:
    return [Method.of(config) for config in METHOD_CONFIGS.values()]


def method(type: str) -> Method:
    if type not in METHOD_CONFIGS:
        raise not_found("method", type)
    return Method.of(METHOD_CONFIGS[type])
