"""Pictures for docs/, drawn from the grids: `python -m benchmarks.pictures`."""

from benchmarks.grid import Grid
from benchmarks.pictures.predicted_loss import predicted_loss
from benchmarks.pictures.rank_trajectories import rank_trajectories
from benchmarks.pictures.sparsity_patterns import sparsity_patterns
from benchmarks.sentiment_methods import predicting


def main() -> None:
    predicted_loss(predicting(list(Grid("sentiment_methods.jsonl"))))
    for cell in Grid("rank_trajectories.jsonl"):
        rank_trajectories(cell)
    sparsity_patterns(list(Grid("sparsity_patterns.jsonl")))


if __name__ == "__main__":
    main()
