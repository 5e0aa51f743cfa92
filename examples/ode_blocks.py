"""Ten ODE blocks of first and of second order over the channels (Sander et al. 2021, Fig. 9).

A convolution brings the pictures to a few channels of half their size, ten ODE blocks follow one
another, each with weights of its own and solved to a tolerance, and a linear layer tells the
classes. Beside them is the same network without blocks. The paper has CIFAR-10; here it is the
digits, or any data that `--data` names.
"""

import torch
from figures import options, save
from matplotlib import pyplot
from rich.console import Console

import odenet

SPEC = """state x
map f = conv(3) -> relu -> conv(3)
{equation}
discretise dopri5(rtol = 1e-2, T = {blocks})

let w = 4
net = input({shape}) -> conv(3, w, stride = 2) -> relu
      -> flow({blocks}) -> mean -> dense(10)

train {{
    data      = {data}
    batch     = 100
    optimizer = adam(lr = 1e-2)
    schedule  = cosine
}}
"""
FIRST, SECOND = "x' = f(x)", "x'' = f(x) - x'\noutput x"
NETWORKS = {"no ODE blocks": None, "first order": FIRST, "second order": SECOND}


def spec(equation, blocks, shape, data):
    """The text of a network; without an equation its blocks are left out."""
    text = SPEC.format(equation=equation or FIRST, blocks=blocks, shape=shape, data=data)
    return text if equation else text.replace(f"-> flow({blocks}) ", "")


def accuracy(text, width, steps, seed, out):
    """On the test split, of a network of that width after so many steps."""
    program = odenet.loads(text, set={"w": width, "steps": steps, "seed": seed})
    result = odenet.train(program, out=out, console=Console(quiet=True))
    return result.accuracy


def main(arguments=None):
    """Trains and draws; gives the accuracies of every seed by network and width."""
    parser = options(__doc__, steps=120, blocks=10, seeds=1)
    parser.add_argument("--widths", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--data", default="digits", help="as in a spec [default: digits]")
    parser.add_argument("--shape", default="1, 8, 8", help="of a sample [default: 1, 8, 8]")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = {}
    figure, axes = pyplot.subplots(figsize=(5, 4))
    for name, equation in NETWORKS.items():
        text = spec(equation, given.blocks, given.shape, given.data)
        for width in given.widths:
            place = given.out / "ode_blocks" / f"{name.replace(' ', '-')}-{width}"
            found[name, width] = [
                accuracy(text, width, given.steps, seed, f"{place}-{seed}")
                for seed in range(given.seeds)
            ]
        means = [100 * sum(found[name, width]) / given.seeds for width in given.widths]
        axes.plot(given.widths, means, "o-", label=name)
        print(f"{name}: " + ", ".join(f"{mean:.1f}%" for mean in means), flush=True)
    axes.set(xlabel="channels", ylabel=f"test accuracy (%) after {given.steps} steps")
    axes.legend()
    save(figure, given.out, "ode_blocks.png")
    return found


if __name__ == "__main__":
    main()
