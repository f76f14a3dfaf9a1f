"""The stages that all methods share, in their order,

resolve → adapt → statistics → plan → factorize → finetune → evaluate → export

and those that some have between them:

prune, dynamic_ranks  after adapt
"""

from core.compression.methods.stage import Stage
from core.compression.methods.stages.adapt import Adapt
from core.compression.methods.stages.dynamic_ranks import FindRanks
from core.compression.methods.stages.evaluate import Evaluate
from core.compression.methods.stages.export import Export
from core.compression.methods.stages.factorize import Factorize
from core.compression.methods.stages.finetune import Finetune
from core.compression.methods.stages.plan import MakePlan
from core.compression.methods.stages.prune import Prune
from core.compression.methods.stages.resolve import Resolve
from core.compression.methods.stages.statistics import Statistics

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Resolve(),
        Adapt(),
        Prune(),
        FindRanks(),
        Statistics(),
        MakePlan(),
        Factorize(),
        Finetune(),
        Evaluate(),
        Export(),
    )
}
"""By the name under which a method's config lists them."""
