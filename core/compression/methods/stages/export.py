"""export: the artifact, with its report, in the workspace and ready to be published."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from core.compression.export.artifact import ArtifactContents, write_artifact
from core.compression.methods.compressed import final_stage, load_compressed
from core.compression.methods.loss_increase import plan_as_measured
from core.compression.methods.result import describe_result, provenance
from core.compression.methods.stage import Stage, Summary, Work
from core.compression.methods.stages.factorize import read_layer_reports
from core.compression.progress import Progress
from core.compression.run_state import Run, write_json
from core.recipe.events import ArtifactFile, ArtifactReady, Event


class Export(Stage):
    name = "export"

    def compute(self, run: Run, folder: Path) -> Work:
        result = describe_result(run)
        contents = ArtifactContents(
            model=load_compressed(run, final_stage(run)).to("cpu"),
            tokenizer=run.tokenizer,
            recipe=run.recipe,
            plan=plan_as_measured(run),
            layers=read_layer_reports(run),
            result=result,
            provenance={
                **provenance(run),
                "started": run.started,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )
        files = write_artifact(folder / "artifact", contents)
        yield Progress(len(files), len(files), "file")
        write_json(folder / "files.json", [file.model_dump() for file in files])
        write_json(folder / "result.json", result)

    def facts(self, run: Run) -> Iterator[Event]:
        yield ArtifactReady(directory=run.relative(self.name, "artifact"), files=self._files(run))

    def summary(self, run: Run) -> Summary:
        files = self._files(run)
        return {"files": len(files), "bytes": sum(file.bytes for file in files)}

    def _files(self, run: Run) -> tuple[ArtifactFile, ...]:
        return tuple(ArtifactFile(**file) for file in run.read(self.name, "files.json"))
