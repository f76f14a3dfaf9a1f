"""The ways compression can fail, each with what a person needs to know. Torch-free.

CompressionError
├── RecipeError            the recipe asks for what this model or data cannot give
│   ├── ModelError         the checkpoint is missing, unsafe, or of an unknown family
│   ├── DataError          the dataset lacks a column, a label, or enough rows
│   └── BudgetError        the budget is below the floor
├── NumericalError         a solve failed or a value is not finite; names the layer
├── HopelessModelError     the dense model is no better than the majority class
├── MemoryTooSmallError    the worker has less memory than the run is estimated to need
├── DeviceMemoryError      the device is too small, even after halving the batch
└── DiskFullError          the workspace has no room left
"""

from typing import ClassVar


class CompressionError(Exception):
    """Has a stable code, a hint, the recipe's field to change, and whether retrying can help."""

    code: ClassVar[str] = "compression_failed"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None, pointer: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.pointer = pointer


class RecipeError(CompressionError):
    code = "recipe_refused"


class ModelError(RecipeError):
    code = "model_refused"


class DataError(RecipeError):
    code = "data_refused"


class BudgetError(RecipeError):
    code = "budget_below_floor"


class NumericalError(CompressionError):
    code = "numerical_failure"


class HopelessModelError(CompressionError):
    code = "dense_model_is_hopeless"


class MemoryTooSmallError(CompressionError):
    code = "memory_too_small"
    retryable = True


class DeviceMemoryError(CompressionError):
    code = "out_of_device_memory"
    retryable = True


class DiskFullError(CompressionError):
    code = "disk_full"
    retryable = True
