"""Converted models with other libraries: LoRA of peft, trainers of transformers and Lightning."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from odenet.conversion import Ramps, convert
from odenet.runtime import Flow, Ramp
from tests.conversion.small_models import (
    TOKEN_IDS,
    logits,
    to_double,
    transformers_model,
    use_momentum,
)


def test_lora_trains_within_the_blocks_and_the_rest_is_frozen():
    peft = pytest.importorskip("peft")
    pytest.importorskip("transformers")
    model, inputs = to_double(*transformers_model("llama"))
    converted = convert(copy.deepcopy(model), gamma=0.7)
    settings = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_dropout=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the libraries
        adapted = peft.get_peft_model(converted, settings)
        plain = peft.get_peft_model(copy.deepcopy(model), settings)
    for (name, a), b in zip(adapted.named_parameters(), plain.parameters(), strict=True):
        assert a.requires_grad == ("lora" in name)
        b.data.copy_(a.data.uniform_(-0.3, 0.3) if "lora" in name else a.data)
    logits(adapted, inputs).square().mean().backward()
    use_momentum(plain.base_model.model, 0.7)
    logits(plain, inputs).square().mean().backward()
    for a, b in zip(adapted.parameters(), plain.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None) == (not a.requires_grad)
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad)
    assert all(m.drift is not None for m in adapted.modules() if isinstance(m, Flow))


def test_frozen_layers_get_no_gradient_and_pass_it_on():
    pytest.importorskip("transformers")
    model, inputs = to_double(*transformers_model("gpt2"))
    model.transformer.h[1].requires_grad_(False)
    converted = convert(model, gamma=0.7)
    parameters = [p for p in model.parameters() if p.requires_grad]
    actual = torch.autograd.grad(logits(converted, inputs).square().mean(), parameters)
    use_momentum(model, 0.7)
    expected = torch.autograd.grad(logits(model, inputs).square().mean(), parameters)
    torch.testing.assert_close(actual, expected)


def test_the_trainer_of_transformers_trains_a_ramp(tmp_path):
    pytest.importorskip("accelerate")
    hf = pytest.importorskip("transformers")
    model, _ = transformers_model("llama")
    converted = convert(model.train(), gamma=Ramp(0, 0.9, steps=4))
    ramps = Ramps(converted)

    class MoveRamp(hf.TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            ramps.at(state.global_step)

    rows = [{"input_ids": row, "labels": row} for row in TOKEN_IDS.repeat(3, 1)]
    initial = [p.detach().clone() for p in converted.parameters()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = hf.TrainingArguments(
            str(tmp_path), max_steps=6, per_device_train_batch_size=2, report_to=[], use_cpu=True,
            save_strategy="no", disable_tqdm=True, gradient_checkpointing=True,
            logging_strategy="no",
        )  # fmt: skip
        hf.Trainer(converted, settings, train_dataset=rows, callbacks=[MoveRamp()]).train()
    flow = converted.model.layers.flows[0]
    assert flow.gamma[0] == 0.9 and flow.drift < 1e-4
    assert any(not torch.equal(a, b) for a, b in zip(initial, converted.parameters(), strict=True))


class Regression:
    """The methods of a Lightning module; `lightning` mixes them with its class and sets `net`."""

    def training_step(self, batch, _):
        return self.net(batch[0]).square().mean()

    def test_step(self, batch, _):
        self.log("loss", self.net(batch[0]).square().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def lightning():
    """Functions that build a module with a ramp and a trainer that moves it, and the data."""
    pl = pytest.importorskip("lightning.pytorch")
    from odenet.training import MoveRamps

    def build_module(**ramp):
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        task = type("Task", (Regression, pl.LightningModule), {})()
        task.net = convert(encoder, gamma=Ramp(0, 0.9, **ramp))
        return task

    def build_trainer(**length):
        return pl.Trainer(
            **length, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, callbacks=[MoveRamps()],
        )  # fmt: skip

    torch.manual_seed(1)
    data = DataLoader(TensorDataset(torch.randn(8, 4, 8)), batch_size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield build_module, build_trainer, data


@pytest.mark.parametrize("length", [{"max_epochs": 2}, {"max_epochs": -1, "max_steps": 8}])
def test_lightning_trains_a_ramp(lightning, length):
    build_module, build_trainer, data = lightning
    task = build_module(epochs=1)
    build_trainer(**length).fit(task, data)
    assert task.net.flow.gamma[0] == 0.9 and task.net.flow.drift < 1e-4


def test_lightning_resumes_a_ramp_and_tests_with_the_value_that_was_saved(lightning, tmp_path):
    build_module, build_trainer, data = lightning
    uninterrupted = build_module(epochs=3)
    build_trainer(max_epochs=2).fit(uninterrupted, data)
    first = build_trainer(max_epochs=1)
    first.fit(build_module(epochs=3), data)
    first.save_checkpoint(tmp_path / "first.ckpt")
    resumed, second = build_module(epochs=3), build_trainer(max_epochs=2)
    second.fit(resumed, data, ckpt_path=tmp_path / "first.ckpt")
    # Before the last of 8 steps, 7 of the 12 in three epochs were done: 0.583 of the way to 0.9.
    assert resumed.net.flow.gamma[0] == uninterrupted.net.flow.gamma[0] == 0.5247
    for name, value in uninterrupted.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    second.save_checkpoint(tmp_path / "second.ckpt")
    tested = build_trainer().test(
        build_module(epochs=3), data, tmp_path / "second.ckpt", verbose=False
    )
    assert tested == second.test(resumed, data, verbose=False)
    earlier = build_module(epochs=3)
    second.test(earlier, data, tmp_path / "first.ckpt", verbose=False)
    assert earlier.net.flow.gamma[0] == 0.225  # 3 of 12 steps: a quarter of the way
    assert resumed.net.flow.gamma[0] == 0.5247
    second.test(resumed, data, verbose=False)
    assert resumed.net.flow.gamma[0] == 0.5247
