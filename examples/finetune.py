"""Fine-tuning a ResNet and its momentum form on a folder of pictures (Sander et al. 2021, Fig. 8).

The folder has train/ and val/ with one folder of pictures per class, such as the ants and bees of
the paper. Both networks start from the same weights; each is trained at the largest batch that a
cap of memory lets it have, measured in child processes.
"""

import time
from pathlib import Path

import torch
from figures import options, printed_by_child, save
from matplotlib import pyplot
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from odenet.conversion import convert, zoo
from odenet.footprint.allocator import Peak

KINDS = ("ResNet", "Momentum ResNet")


def network(given, kind, classes):
    """The named network with a new last layer; its blocks as they are, or as momentum steps."""
    torch.manual_seed(0)
    weights = None if given.weights == "none" else given.weights
    model = zoo.build(given.model, weights)
    model.fc = nn.Linear(model.fc.in_features, classes)
    return convert(model, gamma=0.9) if kind == KINDS[1] else model


def loaders(given, batch):
    """Batches to train on and to test on."""
    change = transforms.Compose([
        transforms.RandomResizedCrop(given.size, scale=(0.5, 1)),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])  # fmt: skip
    keep = transforms.Compose([
        transforms.Resize((given.size, given.size)), *change.transforms[2:],
    ])  # fmt: skip
    train = ImageFolder(str(given.folder / "train"), change)
    val = ImageFolder(str(given.folder / "val"), keep)
    return DataLoader(train, batch, shuffle=True, drop_last=True), DataLoader(val, 64)


def train(model, given, batch):
    """Accuracy after each epoch, with the seconds of training until then."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    learn, test = loaders(given, batch)
    solver = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    found, seconds = [], 0.0
    for _ in range(given.epochs):
        start = time.perf_counter()
        model.train()
        for pictures, classes in learn:
            loss = nn.functional.cross_entropy(model(pictures.to(device)), classes.to(device))
            solver.zero_grad()
            loss.backward()
            solver.step()
        seconds += time.perf_counter() - start
        model.eval()
        with torch.no_grad():
            right = [(model(x.to(device)).argmax(1).cpu() == y).float() for x, y in test]
        found.append((seconds, torch.cat(right).mean().item()))
    return found


def peak_memory(given, kind, batch):
    """The memory in MiB of the network and a training step, in a fresh process."""
    flags = {"model": given.model, "size": given.size, "weights": "none"}
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    return printed_by_child(__file__, given.folder, "--step", f"{kind}:{batch}", *words)


def one_step(given):
    """What a child process does: a step; prints how many MiB were held at most."""
    kind, batch = given.step.split(":")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with Peak(device) as held:
        model = network(given, kind, 2).to(device)
        pictures = torch.randn(int(batch), 3, given.size, given.size, device=device)
        model(pictures).square().sum().backward()
    print(held.highest / 2**20)


def largest_batch(given, kind):
    """The largest power of two that the cap lets a network have; at least 2."""
    batch = 2
    while batch < 256 and peak_memory(given, kind, 2 * batch) <= given.cap:
        batch *= 2
    return batch


def parse(arguments):
    """The arguments of the command line."""
    parser = options(__doc__, epochs=5, batch=8, size=224, cap=0)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="resnet18", help="a ResNet of torchvision")
    parser.add_argument("--weights", default="default", help="default, none, or a file")
    parser.add_argument("--step", help="for child processes")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Fine-tunes both networks and draws accuracy over time; gives what was found by network."""
    given = parse(arguments)
    if given.step:
        return one_step(given)
    classes = len(ImageFolder(str(given.folder / "train")).classes)
    figure, axes = pyplot.subplots(figsize=(5, 4))
    found = {}
    for kind in KINDS:
        batch = largest_batch(given, kind) if given.cap else given.batch
        try:
            model = network(given, kind, classes)
        except zoo.ZooError as error:
            raise SystemExit(f"error: {error}") from None
        found[kind] = train(model, given, batch)
        seconds, accuracy = zip(*found[kind], strict=True)
        axes.plot(seconds, accuracy, "o-", label=f"{kind}, batch {batch}")
        print(f"{kind}, batch {batch}: accuracy {accuracy[-1]:.1%} in {seconds[-1]:.0f} s")
    axes.set(xlabel="seconds of training", ylabel="accuracy on val/")
    axes.legend()
    save(figure, given.out, "finetune.png")
    return found


if __name__ == "__main__":
    main()
