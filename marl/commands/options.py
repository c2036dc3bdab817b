"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ScenarioOption = Annotated[
    str | None, typer.Option("--scenario", "-s", help="Built-in name or a YAML file.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override: a.b=value; may be repeated.")
]
ConfigOption = Annotated[str | None, typer.Option(help="Built-in name or a YAML file.")]
RunDirOption = Annotated[Path | None, typer.Option(help="A new folder; default: runs/...")]
EpisodesOption = Annotated[str | None, typer.Option(help="Stop at N episodes, or after +N more.")]
EnvStepsOption = Annotated[str | None, typer.Option(help="Stop at N env steps, or after +N more.")]
MinutesOption = Annotated[float | None, typer.Option(help="Stop after this many minutes.")]
AddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster: auto or HOST:PORT. Default: this machine.")
]
StorageOption = Annotated[
    str | None, typer.Option(help="Copy the run there too: a folder, s3://..., gs://...")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the result as JSON; -: stdout.")
]
