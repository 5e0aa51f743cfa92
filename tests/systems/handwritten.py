"""The papers' systems in plain torch, written from the equations and from nothing of odenet.

Each takes the flow's weights by name, the input, and the step size, and returns the output.
"""

import torch
import torch.nn.functional as F


def conv(x, K):
    return F.conv2d(x, K, padding=K.shape[-1] // 2)


def conv_t(x, K):
    return F.conv_transpose2d(x, K, padding=K.shape[-1] // 2)


def hamiltonian(w, u, h, steps):
    """Chang et al. 2018 (AAAI), Eq. 10."""
    Y, Z = u.chunk(2, dim=1)
    for j in range(steps):
        Y = Y + h * conv_t(torch.relu(conv(Z, w.K1[j]) + w.b1[j]), w.K1[j])
        Z = Z - h * conv_t(torch.relu(conv(Y, w.K2[j]) + w.b2[j]), w.K2[j])
    return torch.cat([Y, Z], dim=1)


def hamiltonian_one_layer(w, u, h, steps):
    """Chang et al. 2018 (AAAI), Eq. 6 with the Verlet steps of Eq. 10."""
    Y, Z = u.chunk(2, dim=1)
    for j in range(steps):
        Y = Y + h * torch.relu(conv(Z, w.K[j]) + w.b[j])
        Z = Z - h * torch.relu(conv_t(Y, w.K[j]) + w.b[j])
    return torch.cat([Y, Z], dim=1)


def batch_norm(x, N):
    """Ioffe & Szegedy 2015, with the statistics of the batch."""
    centred = x - x.mean((0, 2, 3), keepdim=True)
    deviation = (centred.square().mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()
    return centred / deviation * N.weight.view(-1, 1, 1) + N.bias.view(-1, 1, 1)


def hamiltonian_norm(w, u, h, steps):
    """Chang et al. 2018 (AAAI), Eq. 10, with the layers of Ruthotto & Haber 2020."""
    Y, Z = u.chunk(2, dim=1)
    for j in range(steps):
        Y = Y + h * conv_t(torch.relu(batch_norm(conv(Z, w.K1[j]), w.N1[j]) + w.b1[j]), w.K1[j])
        Z = Z - h * conv_t(torch.relu(batch_norm(conv(Y, w.K2[j]), w.N2[j]) + w.b2[j]), w.K2[j])
    return torch.cat([Y, Z], dim=1)


def midpoint(w, u, h, steps):
    """Chang et al. 2018 (AAAI), Eq. 15."""
    previous, Y = torch.zeros_like(u), u
    for j in range(steps):
        rate = torch.relu(conv(Y, w.K[j]) - conv_t(Y, w.K[j]) + w.b[j])
        previous, Y = Y, previous + 2 * h * rate
    return Y


def leapfrog(w, u, h, steps):
    """Chang et al. 2018 (AAAI), Eq. 17."""
    previous, Y = torch.zeros_like(u), u
    for j in range(steps):
        rate = -conv_t(torch.relu(conv(Y, w.K[j]) + w.b[j]), w.K[j])
        previous, Y = Y, 2 * Y - previous + h**2 * rate
    return Y


def block(module, x, training=True):
    """bn-relu-conv-bn-relu-conv, from the weights of a sequence of layers."""
    for layer in module:
        kind = type(layer).__name__
        if kind.startswith("BatchNorm"):
            x = F.batch_norm(x, None, None, layer.weight, layer.bias, training=training)
        elif kind == "ReLU":
            x = torch.relu(x)
        else:
            x = conv(x, layer.weight)
    return x


def revnet(w, u, h, steps):
    """Gomez et al. 2017; Chang et al. 2018 (AAAI), Eq. 19."""
    Y, Z = u.chunk(2, dim=1)
    for j in range(steps):
        Y = Y + h * block(w.f[j], Z)
        Z = Z + h * block(w.g[j], Y)
    return torch.cat([Y, Z], dim=1)


def resnet(w, u, h, steps):
    """Chang et al. 2018 (ICLR), Eq. 1."""
    x = u
    for j in range(steps):
        x = x + h * block(w.f[j], x)
    return x


def momentum(w, u, h, steps, gamma=0.9):
    """Sander et al. 2021, Eq. 2; `h` does not occur."""
    x, v = u, torch.zeros_like(u)
    for j in range(steps):
        v = gamma * v + (1 - gamma) * block(w.f[j], x)
        x = x + v
    return x


def dissipative(w, u, h, steps, gamma=0.1):
    """The antisymmetric layer of Eq. 13 less γ Y, with the decay as the mean of both ends."""
    before, Y = torch.zeros_like(u), u
    for j in range(steps):
        force = torch.tanh(conv(Y, w.K[j]) - conv_t(Y, w.K[j]) + w.b[j])
        before, Y = Y, (before + 2 * h * force - gamma * h * before) / (1 + gamma * h)
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
