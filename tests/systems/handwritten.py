"""The systems of the papers in plain torch, written from their equations without any use of odenet.

Each function takes the flow, whose weights it reads by name, the input u, the step size h and the
number of steps, and returns the output.
"""

import torch
import torch.nn.functional as F


def conv(x, K):
    return F.conv2d(x, K, padding=K.shape[-1] // 2)


def adjoint_conv(x, K):
    """K^T x."""
    return F.conv_transpose2d(x, K, padding=K.shape[-1] // 2)


def hamiltonian(flow, u, h, steps):
    """Chang et al. 2018 (AAAI), Eq. 10."""
    Y, Z = u.chunk(2, dim=1)
    for j in range(steps):
        Y = Y + h * adjoint_conv(torch.relu(conv(Z, flow.K1[j]) + flow.b1[j]), flow.K1[j])
        Z = Z - h * adjoint_conv(torch.relu(conv(Y, flow.K2[j]) + flow.b2[j]), flow.K2[j])
    return torch.cat([Y, Z], dim=1)


def hamiltonian_one_layer(flow, u, h, steps):
    """Chang et al. 2018 (AAAI), Eq. 6 with the Verlet steps of Eq. 10."""
    Y, Z = u.chunk(2, dim=1)
    for j in range(steps):
        Y = Y + h * torch.relu(conv(Z, flow.K[j]) + flow.b[j])
        Z = Z - h * torch.relu(adjoint_conv(Y, flow.K[j]) + flow.b[j])
    return torch.cat([Y, Z], dim=1)


def batch_norm(x, N):
    """Ioffe & Szegedy 2015, with the statistics of the batch."""
    centred = x - x.mean((0, 2, 3), keepdim=True)
    deviation = (centred.square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()
    return centred / deviation * N.weight.view(-1, 1, 1) + N.bias.view(-1, 1, 1)


def hamiltonian_norm(flow, u, h, steps):
    """Chang et al. 2018 (AAAI), Eq. 10, with the layers of Ruthotto & Haber 2020."""
    Y, Z = u.chunk(2, dim=1)
    for j in range(steps):
        hidden = torch.relu(batch_norm(conv(Z, flow.K1[j]), flow.N1[j]) + flow.b1[j])
        Y = Y + h * adjoint_conv(hidden, flow.K1[j])
        hidden = torch.relu(batch_norm(conv(Y, flow.K2[j]), flow.N2[j]) + flow.b2[j])
        Z = Z - h * adjoint_conv(hidden, flow.K2[j])
    return torch.cat([Y, Z], dim=1)


def midpoint(flow, u, h, steps):
    """Chang et al. 2018 (AAAI), Eq. 15."""
    previous, Y = torch.zeros_like(u), u
    for j in range(steps):
        rate = torch.relu(conv(Y, flow.K[j]) - adjoint_conv(Y, flow.K[j]) + flow.b[j])
        previous, Y = Y, previous + 2 * h * rate
    return Y


def leapfrog(flow, u, h, steps):
    """Chang et al. 2018 (AAAI), Eq. 17."""
    previous, Y = torch.zeros_like(u), u
    for j in range(steps):
        rate = -adjoint_conv(torch.relu(conv(Y, flow.K[j]) + flow.b[j]), flow.K[j])
        previous, Y = Y, 2 * Y - previous + h**2 * rate
    return Y


def residual_branch(layers, x):
    """bn-relu-conv-bn-relu-conv in training mode, with the weights of these modules of torch."""
    for layer in layers:
        kind = type(layer).__name__
        if kind.startswith("BatchNorm"):
            x = F.batch_norm(x, None, None, layer.weight, layer.bias, training=True)
        elif kind == "ReLU":
            x = torch.relu(x)
        else:
            x = conv(x, layer.weight)
    return x


def revnet(flow, u, h, steps):
    """Gomez et al. 2017; Chang et al. 2018 (AAAI), Eq. 19."""
    Y, Z = u.chunk(2, dim=1)
    for j in range(steps):
        Y = Y + h * residual_branch(flow.f[j], Z)
        Z = Z + h * residual_branch(flow.g[j], Y)
    return torch.cat([Y, Z], dim=1)


def resnet(flow, u, h, steps):
    """Chang et al. 2018 (ICLR), Eq. 1."""
    x = u
    for j in range(steps):
        x = x + h * residual_branch(flow.f[j], x)
    return x


def momentum(flow, u, h, steps, gamma=0.9):
    """Sander et al. 2021, Eq. 2; `h` does not occur."""
    x, v = u, torch.zeros_like(u)
    for j in range(steps):
        v = gamma * v + (1 - gamma) * residual_branch(flow.f[j], x)
        x = x + v
    return x


def dissipative(flow, u, h, steps, gamma=0.1):
    """Chang et al. 2018 (AAAI), Eq. 13, with a decay -γ Y, taken at the mean of Y[n-1] and Y[n+1]."""
    previous, Y = torch.zeros_like(u), u
    for j in range(steps):
        force = torch.tanh(conv(Y, flow.K[j]) - adjoint_conv(Y, flow.K[j]) + flow.b[j])
        previous, Y = Y, (previous + 2 * h * force - gamma * h * previous) / (1 + gamma * h)
    return Y


SYSTEMS = {
    "hamiltonian": hamiltonian,
    "hamiltonian_one_layer": hamiltonian_one_layer,
    "hamiltonian_norm": hamiltonian_norm,
    "midpoint": midpoint,
    "leapfrog": leapfrog,
    "revnet": revnet,
    "resnet": resnet,
    "wide_resnet": resnet,
    "momentum": momentum,
    "dissipative": dissipative,
}
