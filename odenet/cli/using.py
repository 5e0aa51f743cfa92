"""`odenet predict`, `sample` and `export`; torch is imported when one of them runs."""

from pathlib import Path
from typing import Annotated

import typer

from odenet.cli.output import say
from odenet.cli.settings import Plugins
from odenet.extras import require

Run = Annotated[Path, typer.Argument(help="The folder of a run.")]
Last = Annotated[bool, typer.Option("--last", help="The last epoch's weights, not the best's.")]


def predict(
    run: Run,
    files: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    top: Annotated[int, typer.Option(min=1, help="Likeliest classes shown of each.")] = 1,
    csv_: Annotated[
        Path | None,
        typer.Option("--csv", help="Write all probabilities or numbers into a table."),
    ] = None,
    last: Last = False,
    plugin: Plugins = None,
) -> None:
    """Say what the network of a run sees in pictures."""
    require("train", "odenet predict")
    from odenet.training.picture_folder import pictures_in
    from odenet.training.trained import load_run

    trained = load_run(run, "last" if last else "best")
    asked = dict.fromkeys(path for file in files for path in pictures_in(file))
    found, paths, damaged = trained.predict_files(list(asked))
    for path, words in zip(paths, found.in_words(top), strict=True):
        say(f"{path}  {words}")
    if csv_ is not None:
        found.write_csv(csv_, paths)
        say(f"wrote {csv_}")
    for line in damaged:
        say(f"error: cannot read {line}", err=True)
    if damaged:
        raise typer.Exit(1)


def sample(
    run: Run,
    prompt: Annotated[str, typer.Option(help="How the text begins [default: a line break].")] = "",
    tokens: Annotated[int, typer.Option(min=1, help="How many to add.")] = 200,
    temperature: Annotated[
        float, typer.Option(min=0, help="Scores are divided by it; 0 takes the likeliest token.")
    ] = 1.0,
    top: Annotated[
        int, typer.Option(min=0, help="Draw from this many of the likeliest tokens; 0 for all.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers.")] = 0,
    last: Last = False,
    plugin: Plugins = None,
) -> None:
    """Let the language model of a run go on with a text."""
    require("train", "odenet sample")
    from odenet.training.sampling import sample as written

    say(written(run, prompt, tokens, temperature, top, seed, "last" if last else "best"))


def export(
    run: Run,
    out: Annotated[
        Path, typer.Option("-o", "--output", help="The file; .onnx, .pt2 or .safetensors.")
    ],
    last: Last = False,
    plugin: Plugins = None,
) -> None:
    """Write the network of a run, with its preprocessing, for other programs.

    What was written is compared with the network before it is kept.
    """
    require("train", "odenet export")
    from odenet.training.exporting import export_run
    from odenet.training.trained import load_run

    trained = load_run(run, "last" if last else "best")
    written = export_run(trained, out)
    say(f"wrote {written.path}: {written.takes}")
    if written.difference is not None:
        what = f"the scores of {len(trained.classes)} classes" if trained.classes else "numbers"
        say(f"  gives {what}, within {written.difference:.0e} of the network's")
