"""Ten ODE blocks of first and of second order over the channels (Sander et al. 2021, Fig. 9).

A convolution halves the size of the pictures and gives them a few channels. Ten ODE blocks follow,
each with its own weights and solved to a tolerance, then a linear layer that gives the scores of
the classes. They are compared with the same network without the blocks. The paper trains on
CIFAR-10; this example on the handwritten digits, or on any data that `--data` names.
"""

import torch
from matplotlib import pyplot
from rich.console import Console
from shared import argument_parser, save_figure

import odenet

# T is the number of blocks, so that each block is solved over a time of 1.
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
FIRST_ORDER, SECOND_ORDER = "x' = f(x)", "x'' = f(x) - x'\noutput x"
EQUATIONS = {"no ODE blocks": None, "first order": FIRST_ORDER, "second order": SECOND_ORDER}


def spec_text(equation, blocks, shape, data):
    """The spec of a network whose blocks solve an equation, or without blocks if it is None."""
    text = SPEC.format(equation=equation or FIRST_ORDER, blocks=blocks, shape=shape, data=data)
    return text if equation else text.replace(f"-> flow({blocks}) ", "")


def trained_accuracy(spec, width, steps, seed, folder):
    """Trains the network of a spec; returns its accuracy on the test split.

    Args:
        spec: the text of the spec.
        width: number of channels of the ODE blocks.
        steps: number of training steps.
        seed: the seed of the initial weights and of the order of the batches.
        folder: the folder of the run.
    """
    program = odenet.loads(spec, set={"w": width, "steps": steps, "seed": seed})
    return odenet.train(program, out=folder, console=Console(quiet=True)).accuracy


def main(arguments=None):
    """Trains and draws; returns `{(network, width): [accuracy for each seed]}`."""
    parser = argument_parser(__doc__, steps=120, blocks=10, seeds=1)
    parser.add_argument("--widths", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--data", default="digits", help="as in a spec [default: digits]")
    parser.add_argument("--shape", default="1, 8, 8", help="of a sample [default: 1, 8, 8]")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results = {}
    figure, axes = pyplot.subplots(figsize=(5, 4))
    for network, equation in EQUATIONS.items():
        spec = spec_text(equation, args.blocks, args.shape, args.data)
        for width in args.widths:
            folder = args.out / "ode_blocks" / f"{network.replace(' ', '-')}-{width}"
            results[network, width] = [
                trained_accuracy(spec, width, args.steps, seed, f"{folder}-{seed}")
                for seed in range(args.seeds)
            ]
        means = [100 * sum(results[network, width]) / args.seeds for width in args.widths]
        axes.plot(args.widths, means, "o-", label=network)
        print(f"{network}: " + ", ".join(f"{mean:.1f}%" for mean in means), flush=True)
    axes.set(xlabel="channels", ylabel=f"test accuracy (%) after {args.steps} steps")
    axes.legend()
    save_figure(figure, args.out, "ode_blocks.png")
    return results


if __name__ == "__main__":
    main()
