"""`odenet predict`, `sample` and `export`, which use a trained network; they import torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from odenet.cli.output import say
from odenet.cli.shared_options import Last, Plugins, Run
from odenet.extras import require

if TYPE_CHECKING:
    from odenet.training.trained_runs.trained_run import TrainedRun


def predict(
    run: Run,
    files: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    top: Annotated[int, typer.Option(min=1, help="How many likely classes to show of each.")] = 1,
    csv_: Annotated[
        Path | None, typer.Option("--csv", help="Write all probabilities or numbers into a table.")
    ] = None,
    last: Last = False,
    plugin: Plugins = None,
) -> None:
    """Say what the network of a run sees in pictures."""
    require("train", "odenet predict")
    from odenet.training.data.picture_folder import pictures_in
    from odenet.training.run_folder.records import RunFolder
    from odenet.training.runs.restoring import damaged_weights_note, weights_file
    from odenet.training.trained_runs.trained_run import load_run

    weights, folder = "last" if last else "best", RunFolder(run)
    trained = load_run(run, weights)
    if note := damaged_weights_note(folder, weights_file(folder, weights)):
        say(f"note: {note}", err=True)
    pictures = dict.fromkeys(path for file in files for path in pictures_in(file))
    predictions, paths, damaged = trained.predict_files(list(pictures))
    for path, words in zip(paths, predictions.in_words(top), strict=True):
        say(f"{path}  {words}")
    if csv_ is not None:
        predictions.write_csv(csv_, paths)
        say(f"wrote {csv_}")
    for line in damaged:
        say(f"error: cannot read {line}", err=True)
    if damaged:
        raise typer.Exit(1)


def sample(
    run: Run,
    prompt: Annotated[
        str | None, typer.Option(help="How the text begins [default: a line break].")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="How many to add [default: 200].")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="How many samples of a density [default: 16].")
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(
            min=0,
            help="Scores are divided by it, and 0 takes the likeliest token; for a density, the "
            "standard deviation of the latent variables.",
        ),
    ] = 1.0,
    top: Annotated[
        int | None,
        typer.Option(min=0, help="Draw from this many of the likeliest tokens [default: all]."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File for samples of a density: .csv, or .png."),
    ] = None,
    last: Last = False,
    plugin: Plugins = None,
) -> None:
    """Continue a text with the language model of a run, or draw samples from a density."""
    require("train", "odenet sample")
    from odenet.training.trained_runs.trained_run import load_run

    trained = load_run(run, "last" if last else "best")
    is_density = trained.loss.needs_density
    excluded_options = {"--count": count, "--output": out}
    message = "is for densities, which this run is not"
    if is_density:
        excluded_options = {"--prompt": prompt, "--tokens": tokens, "--top": top}
        message = "is for language models, and this run is a density"
    for option, value in excluded_options.items():
        if value is not None:
            raise typer.BadParameter(message, param_hint=option)
    if is_density:
        _sample_density(trained, count or 16, seed, temperature, out)
    else:
        _sample_text(trained, prompt or "", tokens or 200, temperature, top or 0, seed)


def _sample_density(
    trained: "TrainedRun", count: int, seed: int, temperature: float, out: Path | None
) -> None:
    """Draw samples, and print points or write a file; pictures are always written."""
    from odenet.training.trained_runs import density_samples

    if out is None and density_samples.makes_pictures(trained):
        out = trained.folder / "samples.png"
    samples = trained.sample(count, seed, temperature)
    if out is None:
        for row in density_samples.sample_rows(samples):
            say(" ".join(row))
        return
    density_samples.write_samples(trained, samples, out)
    say(f"wrote {out}")


def _sample_text(
    trained: "TrainedRun", prompt: str, tokens: int, temperature: float, top: int, seed: int
) -> None:
    """Continue a prompt and print the text, with a note if each token needs a full pass."""
    from odenet.training.trained_runs.token_by_token import token_by_token_obstacle

    text = trained.sample(prompt=prompt, tokens=tokens, temperature=temperature, top=top, seed=seed)
    reason = token_by_token_obstacle(trained.program.model)
    if reason:
        say(f"note: every token took a pass over the whole window, since {reason}", err=True)
    say(text)


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
    from odenet.training.trained_runs.exporting import export_run
    from odenet.training.trained_runs.trained_run import load_run

    trained = load_run(run, "last" if last else "best")
    written = export_run(trained, out)
    say(f"wrote {written.path}: {written.input_text}")
    if written.relative_difference is not None:
        outputs = f"the scores of {len(trained.classes)} classes" if trained.classes else "numbers"
        say(f"  gives {outputs}, within {written.relative_difference:.0e} of the network's")
