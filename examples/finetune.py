"""Fine-tuning a ResNet and its momentum form on a folder of pictures (Sander et al. 2021, Fig. 8).

The folder has train/ and val/, each with one folder of pictures per class, such as the ants and
bees of the paper. Both networks start from the same weights. With --cap, each is trained at the
largest batch whose training step stays below that many MiB, measured in child processes.
"""

import time
from pathlib import Path

import torch
from matplotlib import pyplot
from shared import argument_parser, run_in_child_process, save_figure
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from odenet.conversion import convert, zoo
from odenet.footprint.allocator import Peak

NETWORKS = ("ResNet", "Momentum ResNet")


def build(args, network, class_count):
    """The model that `--model` names, with a new last layer.

    Args:
        args: the command line.
        network: one of NETWORKS; in "Momentum ResNet" the residual blocks are steps of momentum.
        class_count: outputs of the last layer.
    """
    torch.manual_seed(0)
    weights = None if args.weights == "none" else args.weights
    model = zoo.build(args.model, weights)
    model.fc = nn.Linear(model.fc.in_features, class_count)
    return convert(model, gamma=0.9) if network == "Momentum ResNet" else model


def data_loaders(args, batch):
    """The batches of train/, augmented, and those of val/."""
    augmented = transforms.Compose([
        transforms.RandomResizedCrop(args.size, scale=(0.5, 1)),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet's
    ])  # fmt: skip
    to_tensor, normalize = augmented.transforms[2:]
    resized = transforms.Compose([
        transforms.Resize((args.size, args.size)), to_tensor, normalize,
    ])  # fmt: skip
    train = ImageFolder(str(args.folder / "train"), augmented)
    val = ImageFolder(str(args.folder / "val"), resized)
    return DataLoader(train, batch, shuffle=True, drop_last=True), DataLoader(val, batch_size=64)


def train(model, args, batch):
    """Trains a model; returns (seconds of training so far, accuracy on val/) after each epoch."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    train_loader, val_loader = data_loaders(args, batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    curve, seconds = [], 0.0
    for _ in range(args.epochs):
        start = time.perf_counter()
        model.train()
        for pictures, labels in train_loader:
            loss = nn.functional.cross_entropy(model(pictures.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds += time.perf_counter() - start
        model.eval()
        with torch.no_grad():
            correct = [(model(x.to(device)).argmax(1).cpu() == y).float() for x, y in val_loader]
        curve.append((seconds, torch.cat(correct).mean().item()))
    return curve


def peak_memory(args, network, batch):
    """The MiB that the model and one training step hold at most, in a fresh process."""
    options = {"model": args.model, "size": args.size, "weights": "none"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return run_in_child_process(__file__, args.folder, "--step", f"{network}:{batch}", *words)


def print_peak_memory(args):
    """What a child process does: takes one training step, and prints the peak in MiB."""
    network, batch = args.step.split(":")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with Peak(device) as peak:
        model = build(args, network, class_count=2).to(device)
        pictures = torch.randn(int(batch), 3, args.size, args.size, device=device)
        model(pictures).square().sum().backward()
    print(peak.highest / 2**20)


def largest_batch(args, network):
    """The largest power of two, from 2 to 256, whose training step stays within `--cap`."""
    batch = 2
    while batch < 256 and peak_memory(args, network, 2 * batch) <= args.cap:
        batch *= 2
    return batch


def parse(arguments):
    """The command line, parsed."""
    parser = argument_parser(__doc__, epochs=5, batch=8, size=224, cap=0)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="resnet18", help="a ResNet of torchvision")
    parser.add_argument("--weights", default="default", help="default, none, or a file")
    parser.add_argument("--step", help="for child processes")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Fine-tunes both networks and draws accuracy over time; returns the curves by network."""
    args = parse(arguments)
    if args.step:
        return print_peak_memory(args)
    class_count = len(ImageFolder(str(args.folder / "train")).classes)
    figure, axes = pyplot.subplots(figsize=(5, 4))
    curves = {}
    for network in NETWORKS:
        batch = largest_batch(args, network) if args.cap else args.batch
        try:
            model = build(args, network, class_count)
        except zoo.ZooError as error:
            raise SystemExit(f"error: {error}") from None
        curves[network] = train(model, args, batch)
        seconds, accuracy = zip(*curves[network], strict=True)
        axes.plot(seconds, accuracy, "o-", label=f"{network}, batch {batch}")
        print(f"{network}, batch {batch}: accuracy {accuracy[-1]:.1%} in {seconds[-1]:.0f} s")
    axes.set(xlabel="seconds of training", ylabel="accuracy on val/")
    axes.legend()
    save_figure(figure, args.out, "finetune.png")
    return curves


if __name__ == "__main__":
    main()
