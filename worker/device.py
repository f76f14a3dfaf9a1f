"""Which devices this machine computes on. `python -m worker.device` prints them, one a line.

torch is imported only inside the functions: the supervisor's process must stay free of it.
"""


def available_devices() -> list[str]:
    """Every CUDA device, or the Mac's GPU, or else the CPU."""
    import torch

    if torch.cuda.is_available():
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ["mps"] if torch.backends.mps.is_available() else ["cpu"]


def choose_device(setting: str) -> str:
    """The device that the setting names, or the first one where it says `auto`."""
    return available_devices()[0] if setting == "auto" else setting


if __name__ == "__main__":
    print(*available_devices(), sep="\n")
