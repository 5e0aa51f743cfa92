"""Text as data: windows of tokens, splits, tokenizers, training, sampling, and errors."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import odenet
from odenet.cli import app
from odenet.diagnostics import SpecError
from odenet.model.tables.recipe import SCHEDULES, Call, Recipe
from odenet.training import TrainingError
from odenet.training.data.data_module import SplitLoaders
from odenet.training.data.data_sets import load_data
from odenet.training.data.samples import LabelInfo, fraction_of, hold_out
from odenet.training.data.text import python_sources
from odenet.training.data.windows import Tokens, Windows
from odenet.training.learning.next_token import NextToken
from odenet.training.learning.optim import rate_factor
from odenet.training.run_folder.records import RunFolder
from odenet.training.trained_runs.exporting import export_run
from odenet.training.trained_runs.text_sampling import sample_token
from tests.training.train_and_compare import assert_same_run

SPEC = """\
state Y, Z
map attend = rmsnorm -> attention(2, causal = yes, rope = yes)
map digest = rmsnorm -> glu(8/3)
Y' = attend(Z)
Z' = digest(Y)
Y(0) = u
Z(0) = u
output 1/2 Y + 1/2 Z
discretise verlet(h = 1)
net = tokens(16, vocabulary = 256) -> embed(12) -> flow(2) -> rmsnorm -> head(tied = yes)
train {
    data  = text("corpus/*.txt")
    loss  = next_token
    batch = 4
    epochs = 2
    schedule = constant
    optimizer = adamw(lr = 1e-2)
}
"""
WORDS = "the cat sat on the mat and the dog sat on the cat. "


def text_call(path, **arguments):
    """The call `text(path, …)` as a recipe holds it in `data`."""
    return Call("text", (), {"path": str(path), "tokenizer": "", "test": 0.1, **arguments})


@pytest.fixture
def spec(tmp_path):
    """The path of a language model's spec, beside a corpus of five short files."""
    (tmp_path / "corpus").mkdir()
    for number in range(5):
        (tmp_path / "corpus" / f"{number}.txt").write_text(WORDS * 8 + str(number))
    path = tmp_path / "tiny.ode"
    path.write_text(SPEC)
    return path


# --- windows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(12))
def test_reading_goes_across_the_pieces_of_a_stream(first):
    pieces = [np.arange(3), np.arange(0), np.arange(3, 4), np.arange(4, 12)]
    tokens = Tokens(pieces, text_bytes=12)
    for count in range(1, 12 - first + 1):
        expected = np.arange(first, first + count)
        assert np.array_equal(tokens.read(first, count), expected)


def test_windows_lie_side_by_side_and_stay_within_their_tokens():
    stream = Tokens([np.arange(103)], text_bytes=103)
    windows = Windows(stream, size=10, first=20, token_count=54)  # the tokens 20 to 73
    assert windows.window_count == 5
    indices = np.arange(5)
    assert windows.read(indices)[:, 0].tolist() == [20, 30, 40, 50, 60]
    for offset in range(10):
        tokens = windows.read(indices, offset)
        assert tokens.shape == (5, 11) and tokens.min() == 20 + offset and tokens.max() <= 73
        assert (tokens.diff() == 1).all()
    kept, held_out = windows.split_off(0.25)
    assert (kept.first, kept.token_count, held_out.first, held_out.token_count) == (20, 40, 60, 14)


def test_an_epoch_of_training_depends_on_seed_and_number_and_continues_where_it_stopped(spec):
    class SingleProcessTrainer:
        world_size, global_rank, num_devices = 1, 0, 1
        strategy = type("Strategy", (), {"root_device": torch.device("cpu")})

    recipe = odenet.load(spec).recipe
    loaders = SplitLoaders(load_data(text_call(spec.parent / "corpus/*.txt"), (16,)), recipe, (16,))
    loaders.trainer = SingleProcessTrainer()

    def epoch(seed, number, skip=0):  # the batches of an epoch after the first `skip`
        loaders.recipe = replace(recipe, seed=seed)
        loader = loaders.train_dataloader()
        loader.sampler.set_epoch(number)
        loader.load_state_dict({"served": skip})
        return [(inputs.tolist(), targets.tolist()) for inputs, targets in loader]

    batches = epoch(seed=0, number=0)
    assert batches == epoch(seed=0, number=0)
    assert batches != epoch(seed=0, number=1) and batches != epoch(seed=1, number=0)
    assert batches[3:] == epoch(seed=0, number=0, skip=3)
    for inputs, targets in batches:
        assert [row[1:] for row in inputs] == [row[:-1] for row in targets]


def test_the_test_split_has_whole_files_or_the_end_of_a_single_file(spec):
    folder = spec.parent / "corpus"
    all_files = load_data(text_call(folder / "*.txt", test=0.2), (16,))
    file_size = len(WORDS * 8) + 1
    assert len(all_files.test.inputs.tokens) == file_size
    assert len(all_files.train.inputs.tokens) == 4 * file_size
    one_file = load_data(text_call(folder / "0.txt", test=0.25), (16,))
    kept, held_out = one_file.train.inputs, one_file.test.inputs
    assert kept.token_count + held_out.token_count == file_size
    assert held_out.first == kept.token_count == file_size - round(0.25 * file_size)


def test_every_split_of_a_text_is_drawn_from_all_of_its_files(tmp_path):
    for number in range(200):  # the first 100 files hold a, the others b
        (tmp_path / f"{number:03}.txt").write_text(("a" if number < 100 else "b") * 20)
    data = load_data(text_call(tmp_path / "*.txt", test=0.2), (9,))
    assert (len(data.test.inputs.tokens), len(data.train.inputs.tokens)) == (800, 3200)
    kept, held_out = hold_out(data.train, 0.25, seed=0)
    for split in (data.test, fraction_of(data.train, 0.25, seed=0), kept, held_out):
        windows = split.inputs
        tokens = windows.tokens.read(windows.first, windows.token_count)
        assert 0.3 < (tokens == ord("a")).mean() < 0.7


def test_empty_files_are_ignored(spec):
    folder = spec.parent / "empty"
    folder.mkdir()
    for name in ("0.txt", "1.txt", "3.txt"):
        (folder / name).write_text("")
    (folder / "2.txt").write_text(WORDS * 8)
    one_file = load_data(text_call(folder / "*.txt", test=0.25), (16,))
    assert one_file.test.inputs.token_count == round(0.25 * len(WORDS * 8))
    (folder / "4.txt").write_text(WORDS * 8)
    two_files = load_data(text_call(folder / "*.txt", test=0.9), (16,))
    assert len(two_files.train.inputs.tokens) == len(two_files.test.inputs.tokens) == len(WORDS * 8)


def test_a_trained_network_scores_the_next_token_and_is_exported(spec, tmp_path):
    result = odenet.train(spec, out=tmp_path / "run", set={"steps": 1})
    run = odenet.load_run(result.folder)
    tokens = torch.randint(256, (3, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scores = run.network(tokens)
    expected = scores.movedim(1, -1).flatten(0, 1).softmax(-1)
    torch.testing.assert_close(run.predict(tokens).values, expected)
    with pytest.raises(TrainingError, match="tokens are numbers from 0 to 255"):
        run.predict(tokens + 200)
    export_run(run, tmp_path / "run.pt2")
    exported = torch.export.load(tmp_path / "run.pt2").module()
    torch.testing.assert_close(exported(tokens), scores)


def test_a_large_file_stays_on_disk(spec, monkeypatch):
    monkeypatch.setattr("odenet.training.data.text.MAPPED_FROM", 10)  # bytes
    data = load_data(text_call(spec.parent / "corpus/*.txt"), (16,))
    assert all(isinstance(piece, np.memmap) for piece in data.train.inputs.tokens.pieces)
    # A window of 16 tokens and the token after it.
    assert bytes(data.train.inputs.read(np.arange(1))[0].tolist()) == WORDS[:17].encode()


def test_the_standard_library_of_python_is_a_text_of_megabytes():
    data = python_sources(Call("python_sources", (), {"test": 0.02}), (64,))
    # The test split is 2 %, and at least 100 kB.
    assert len(data.train.inputs.tokens) > 40 * len(data.test.inputs.tokens) > 40 * 10**5


# --- training ---------------------------------------------------------------------------------------


def test_a_run_learns_and_is_the_same_in_every_memory_mode_and_when_resumed(spec, tmp_path):
    runs = {}
    for memory in ("reversible", "stored"):
        options = odenet.training.Options(memory=memory)
        runs[memory] = odenet.train(spec, options=options, out=str(tmp_path / memory))
    result, stored = runs.values()
    assert abs(result.test_loss - stored.test_loss) < 1e-3
    assert result.test_loss < math.log(256) / 1.5  # log(256): all bytes equally likely
    assert result.metrics["bits_per_byte"] == pytest.approx(
        result.test_loss / math.log(2), rel=1e-5
    )
    assert result.metrics["perplexity"] == pytest.approx(math.exp(result.test_loss), rel=1e-5)
    assert result.measure == "bits_per_byte" and result.tokens_per_second > 0
    scores = odenet.evaluate(result.folder)
    assert scores["loss"] == pytest.approx(result.test_loss, rel=1e-5)
    resumed = odenet.train(spec, set={"epochs": 1}, out=str(tmp_path / "half"))
    odenet.resume(resumed.folder, set={"epochs": 2})
    assert_same_run(tmp_path / "half", tmp_path / "reversible")


def test_accumulated_gradients_are_those_of_one_large_batch(spec, tmp_path):
    losses = []
    for number, variant in enumerate(({"batch": 8}, {"batch": 4, "accumulate": 2})):
        settings = {**variant, "steps": 3, "optimizer": "sgd(lr = 0.1)"}
        result = odenet.train(spec, set=settings, out=str(tmp_path / str(number)))
        (row,) = RunFolder(tmp_path / str(number)).rows()
        assert row["step"] == 2  # counted from 0
        losses.append(result.test_loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_warmup_may_be_counted_in_steps():
    schedule = SCHEDULES.default("constant", warmup_steps=4)
    factor = rate_factor(Recipe(schedule=schedule), 10)
    assert [factor(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


# --- sampling ---------------------------------------------------------------------------------------


def test_a_run_continues_a_prompt_from_the_command_line(spec, tmp_path):
    odenet.train(spec, set={"epochs": 1}, out=str(tmp_path / "run"))
    command = ["sample", str(tmp_path / "run"), "--prompt", "the ", "--tokens", "20", "--top", "9"]
    first, again, other = (
        CliRunner().invoke(app, [*command, "--seed", seed]).output for seed in "001"
    )
    assert first == again != other
    assert first.startswith("the ") and len(first.encode()) >= 20
    run = odenet.load_run(tmp_path / "run")
    lengths = []
    run.network[0].register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    assert run.sample(prompt="the ", tokens=20, top=9, seed=0) + "\n" == first
    assert lengths[1:4] == [1, 1, 1]  # cached keys and values are used
    likeliest = run.sample(prompt="the " * 20, tokens=3, temperature=0)
    assert likeliest == run.sample(prompt="the " * 20, tokens=3, temperature=0, seed=5)
    with pytest.raises(TrainingError, match=r"sample\(prompt="):
        run.sample(3)
    with pytest.raises(TrainingError, match="studies are not made of those"):
        odenet.training.study_run(tmp_path / "run")


def test_tokens_are_drawn_by_their_scores():
    generator = torch.Generator().manual_seed(0)
    scores = torch.tensor([0.0, math.log(3), -1.0, 5.0])

    def drawn(scores, temperature=1.0, top=0):
        return int(sample_token(scores, temperature, top, generator))

    assert {drawn(scores, top=1) for _ in range(20)} == {3} == {drawn(scores, temperature=0)}
    counts = torch.zeros(2)
    for _ in range(2000):
        counts[drawn(scores[:2])] += 1
    assert counts[1] / counts.sum() == pytest.approx(0.75, abs=0.04)
    assert drawn(scores, temperature=1e-320, top=2) == 3  # although scores / 1e-320 overflow
    assert {drawn(scores[:2], temperature=0.1) for _ in range(200)} == {1}  # 3^10 to 1


# --- tokenizers -------------------------------------------------------------------------------------


def test_a_tokenizer_encodes_the_corpus_and_decodes_samples(spec, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(
            {word: i for i, word in enumerate(("?", *sorted({*WORDS.split()})))}, "?"
        )
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "words.json"))
    text = SPEC.replace('*.txt")', '*.txt", tokenizer = "words.json")')
    # 10 is more than the number of tokens, nine.
    spec.write_text(text.replace("vocabulary = 256", "vocabulary = 10"))
    result = odenet.train(spec, set={"epochs": 1}, out=str(tmp_path / "run"))
    bytes_per_token = len(WORDS) / len(WORDS.split())
    bits_per_byte = result.test_loss / math.log(2) / bytes_per_token
    assert result.metrics["bits_per_byte"] == pytest.approx(bits_per_byte, rel=0.01)
    run = odenet.load_run(tmp_path / "run")
    assert run.sample(prompt="the cat", tokens=2).startswith("the cat ")
    spec.write_text(text.replace("vocabulary = 256", "vocabulary = 5"))
    with pytest.raises(SpecError, match=r"a token of number \d, and the network knows 5"):
        odenet.train(spec, out=str(tmp_path / "small"))


# --- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("corpus/*.txt", "corpus/*.md", "there is no file"),
        ("tokens(16", "tokens(2000", "a window takes 2,001"),
        ("    loss  = next_token\n", "", "cross_entropy is not for text"),
        ('text("corpus/*.txt")', "digits", "reads tokens, and digits is not text"),
        (" -> head(tied = yes)", "", "a score for each token"),
        (
            "vocabulary = 256",
            "vocabulary = 100",
            "has a token of number 11., and the network knows",
        ),
        (
            "tokens(16, vocabulary = 256) -> embed(12)",
            "input(12, 16)",
            "and the network takes numbers",
        ),
    ],
)
def test_texts_networks_and_losses_that_do_not_fit_are_refused_before_training(
    spec, tmp_path, old, new, message
):
    assert old in SPEC
    text = SPEC.replace(old, new)
    if "input(" in new:
        text = text.replace(" -> head(tied = yes)", "")
    spec.write_text(text)
    with pytest.raises((SpecError, TrainingError), match=message):
        odenet.train(spec, out=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_loss_next_token_is_refused_for_data_that_are_not_text(tmp_path):
    text = (
        "state x\nmap f = layernorm -> dense\nx' = f(x)\ndiscretise momentum\n"
        "net = input(2) -> dense(4) -> flow(2) -> dense(2)\n"
        "train {\n    data = moons\n    loss = next_token\n}\n"
    )
    path = tmp_path / "points.ode"
    path.write_text(text)
    with pytest.raises(SpecError, match="next_token is for text, and moons is not"):
        odenet.train(path, out=str(tmp_path / "run"))


def test_bits_per_byte_follow_from_the_loss():
    objective = NextToken(Recipe(loss=Call("next_token")), LabelInfo())
    assert objective.metrics_from_loss(torch.tensor(math.log(4)))[
        "bits_per_byte"
    ].item() == pytest.approx(2)
