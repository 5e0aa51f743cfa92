"""A table of systems from the literature and what is true of their spectra; see docs/systems.md."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One system of the table.

    Args:
        name: shown on the page and as the id of a test; "…" is the name of the row above.
        source: authors and year, or what kind of system it is.
        equations: its equations, one per line.
        params: its declarations of parameters, numbers and maps, one per line.
        verdict: where its spectrum lies for all weights and inputs, or "refuted".
        note: a condition of the verdict or the reason for it.
    """

    name: str
    source: str
    equations: str
    params: str
    verdict: str
    note: str = ""

    @property
    def text(self) -> str:
        """The spec, without a `discretise` line."""
        lines = self.equations.splitlines()
        states = ", ".join(line.split("'")[0].strip() for line in lines)
        return "\n".join([f"state {states}", *self.params.splitlines(), *lines])


K = "param K : dense"
K_B = "param K : dense\nparam b : bias"
BLOCK = "bn -> relu -> conv(3) -> bn -> relu -> conv(3)"
W_B_DECAY = "param W : dense\nparam b : bias\nlet γ = 0.1"
TWO_LAYERS = "param K1, K2 : dense\nparam b1, b2 : bias"

ROWS = (
    Row("antisymmetric network", "Haber & Ruthotto 2017",
        "Y' = tanh((K - K^T) Y + b)", K_B, "imaginary"),
    Row("… with diffusion", "Haber & Ruthotto 2017; Chang, Chen, Haber & Chi 2019",
        "Y' = tanh((K - K^T - γ I) Y + V u + b)",
        "param K, V : dense\nparam b : bias\nlet γ = 0.1", "stable"),
    Row("… with learned diffusion", "Chang, Chen, Haber & Chi 2019",
        "Y' = tanh((K - K^T - γ I) Y + b)", K_B + "\nparam γ : scalar", "stable", "if γ ≥ 0"),
    Row("… with gates", "Chang, Chen, Haber & Chi 2019",
        "Y' = sigmoid((K - K^T) Y + b1) * tanh((K - K^T) Y + b2)",
        "param K : dense\nparam b1, b2 : bias", "refuted", "tanh multiplies the gate's slope"),
    Row("… with decay outside", "Haber & Ruthotto 2017",
        "Y' = -γ Y + tanh((K - K^T) Y + b)", K_B + "\nlet γ = 0.1", "stable", "uniform decay"),
    Row("Hamiltonian, one layer", "Haber & Ruthotto 2017; Chang et al. 2018 (AAAI), Eq. 6",
        "Y' = tanh(K Z + b1)\nZ' = -tanh(K^T Y + b2)",
        "param K : dense\nparam b1, b2 : bias", "imaginary"),
    Row("Hamiltonian, two layers", "Chang et al. 2018 (AAAI), Eq. 7",
        "Y' = K1^T relu(K1 Z + b1)\nZ' = -K2^T relu(K2 Y + b2)", TWO_LAYERS, "imaginary"),
    Row("second order (leapfrog)", "Chang et al. 2018 (AAAI), Eq. 16",
        "Y'' = -K^T relu(K Y + b)", K_B, "imaginary"),
    Row("parabolic", "Ruthotto & Haber 2020", "Y' = -K^T relu(K Y + b)", K_B, "real"),
    Row("parabolic with batch norm", "Ruthotto & Haber 2020",
        "Y' = -K^T relu(N(K Y) + b)", K_B + "\nparam N : norm(batch)", "real",
        "frozen statistics, gain ≥ 0"),
    Row("hyperbolic", "Ruthotto & Haber 2020",
        "Y'' = -K^T relu(N(K Y))", K + "\nparam N : norm(batch, positive)", "imaginary",
        "frozen statistics"),
    Row("gradient flow of several potentials", "Celledoni et al. 2021",
        "Y' = -K1^T relu(K1 Y + b1) - K2^T tanh(K2 Y + b2)", TWO_LAYERS, "real"),
    Row("diffusion and reaction", "Ruthotto & Haber 2020",
        "Y' = -K1^T relu(K1 Y) + K2 tanh(Y)", "param K1, K2 : dense", "refuted",
        "the reaction may grow"),
    Row("advection and diffusion", "Eliasof et al. 2023",
        "Y' = (V - V^T) Y - K^T relu(K Y + b)", "param K, V : dense\nparam b : bias", "stable",
        "slopes among the linear terms"),
    Row("H-DNN with learned interconnection", "Galimberti et al. 2023",
        "Y' = (J - J^T) K^T tanh(K Y + b)", "param J, K : dense\nparam b : bias", "imaginary"),
    Row("H-DNN with a full K", "Galimberti et al. 2023",
        "Y' = K2^T tanh(K1 Y + K2 Z + b)\nZ' = -K1^T tanh(K1 Y + K2 Z + b)",
        "param K1, K2 : dense\nparam b : bias", "imaginary"),
    Row("port-Hamiltonian with dissipation", "Galimberti et al. 2023",
        "Y' = (J - J^T - R^T R) K^T tanh(K Y + b)",
        "param J, K, R : dense\nparam b : bias", "stable"),
    Row("separable Hamiltonian with a mass matrix", "Greydanus et al. 2019",
        "Y' = A^T A Z\nZ' = -K^T tanh(K Y + b)", "param A, K : dense\nparam b : bias", "imaginary",
        "the square is split"),
    Row("… with friction", "Zhong et al. 2020",
        "Y' = Z\nZ' = -K^T tanh(K Y + b) - A^T A Z", K_B + "\nparam A : dense", "stable"),
    Row("SympNet modules", "Jin et al. 2020",
        "Y' = K1^T (a tanh(K1 Z + b1))\nZ' = -K2^T (d tanh(K2 Y + b2))",
        TWO_LAYERS + "\nparam a, d : diag", "imaginary", "if a ≥ 0 and d ≥ 0"),
    Row("momentum network, gradient form", "Sander et al. 2021, Eq. 6",
        "Y'' = -(1/ε) Y' - (1/ε) K^T relu(K Y + b)", K_B + "\nlet ε = 0.1", "stable"),
    Row("momentum network, any f", "Sander et al. 2021, Eq. 6",
        "Y'' = (f(Y) - Y') / ε", "map f = conv(3) -> relu -> conv(3)\nlet ε = 0.1", "refuted"),
    Row("ResNet", "He et al. 2016", "Y' = f(Y)", f"map f = {BLOCK}", "refuted"),
    Row("RevNet", "Gomez et al. 2017", "Y' = f(Z)\nZ' = g(Y)",
        f"map f = {BLOCK}\nmap g = {BLOCK}", "refuted", "Chang et al. 2018 (AAAI), Eq. 21"),
    Row("two-layer residual block", "Chang et al. 2018 (AAAI), Eq. 1",
        "Y' = K2^T relu(K1 Y + b)", "param K1, K2 : dense\nparam b : bias", "refuted"),
    Row("coRNN", "Rusch & Mishra 2021",
        "Y'' = tanh(W Y + A Y' + b) - 2 Y - 3 Y'", "param W, A : dense\nparam b : bias", "refuted",
        "its bounds need small weights"),
    Row("UnICORNN", "Rusch & Mishra 2021b",
        "Y' = d Z\nZ' = -d (tanh(w Y + V u + b) + 2 Y)",
        "param w, d : diag\nparam V : dense(in = 2c)\nparam b : bias", "imaginary", "if w ≥ 0"),
    Row("GraphCON", "Rusch et al. 2022", "X'' = tanh(W X) - X - X'", "param W : dense", "refuted"),
    Row("graph oscillators", "Rusch et al. 2022, Laplacian coupling",
        "X'' = -tanh(G^T G X) - 2 X'", "param G : dense", "stable", "change of variables"),
    Row("PDE-GCN, diffusion", "Eliasof et al. 2021",
        "X' = -K^T G^T relu(G K X)", "param G, K : dense", "real"),
    Row("PDE-GCN, hyperbolic", "Eliasof et al. 2021",
        "X'' = -K^T G^T relu(G K X)", "param G, K : dense", "imaginary"),
    Row("PDE-GCN, mixed", "Eliasof et al. 2021",
        "X'' = -2 K^T G^T relu(G K X) - 3 X'", "param G, K : dense", "stable"),
    Row("A-DGN without aggregation", "Gravina et al. 2023",
        "X' = tanh((W - W^T - γ I) X + b)", W_B_DECAY, "stable"),
    Row("A-DGN with any aggregation", "Gravina et al. 2023",
        "X' = tanh((W - W^T - γ I) X + A X + b)", W_B_DECAY + "\nparam A : dense", "refuted"),
    Row("Lipschitz RNN", "Erichson et al. 2021",
        "Y' = (A - A^T - γ I) Y + tanh((W - W^T - γ I) Y + b)",
        "param A, W : dense\nparam b : bias\nlet γ = 0.1", "refuted"),
    Row("Hopfield network", "Hopfield 1984",
        "Y' = -Y + (W + W^T) tanh(Y) + b", "param W : dense\nparam b : bias", "refuted"),
    Row("LISTA flow", "Gregor & LeCun 2010",
        "Y' = shrink(0.1)(W Y + V u) - Y", "param V, W : dense", "refuted"),
    Row("… with weights of a convex code", "Gregor & LeCun 2010; Daubechies et al. 2004",
        "Y' = shrink(0.1)(Y - A^T A Y + A^T V u) - Y", "param A, V : dense", "real",
        "slopes of at most 1"),
    Row("leaky neurons", "Hopfield 1984, each on its own",
        "Y' = -Y + tanh(Y) + V u", "param V : dense", "real", "slopes of at most 1"),
    Row("monotone equilibrium flow", "Winston & Kolter 2020",
        "Y' = -Y + relu((1 - m) Y - A^T A Y + (B - B^T) Y + V u)",
        "param A, B, V : dense\nlet m = 0.1", "stable", "slopes of at most 1"),
    Row("gated gradient flow", "Ruthotto & Haber 2020, with gelu",
        "Y' = -K^T (gelu(K Y + b) + 0.2 K Y)", K_B, "real", "slopes of at least -0.13"),
    Row("preconditioned rotation", "Galimberti et al. 2023, with a diagonal",
        "Y' = d (K - K^T) tanh(Y)", "param K : dense\nparam d : diag", "imaginary", "if d ≥ 0"),
    Row("filtered force", "passive, seen through a filter",
        "Y'' = -A^T A K^T tanh(K Y) - Y'", "param A, K : dense", "stable",
        "change of variables from the left"),
    Row("third-order filter", "Lyapunov 1892",
        "X' = V\nV' = A\nA' = -3 A - 3 V - X", "", "stable", "a scaling of numbers"),
    Row("linear recurrence", "stable by construction",
        "Y' = (W - W^T - A^T A) Y + V u", "param A, V, W : dense", "stable"),
    Row("wave equation", "damped, with a restoring force",
        "Y'' = -K^T K Y - 2 Y - Y'", K, "stable", "the square is split"),
    Row("viscoelastic damping", "Kelvin-Voigt",
        "Y'' = -K^T relu(K Y + 1/2 K Y' + b)", K_B, "stable", "slopes among the linear terms"),
    Row("nonlinear damping", "Rayleigh",
        "Y'' = -K^T relu(K Y) - A^T tanh(A Y')", "param A, K : dense", "stable",
        "slopes among the linear terms"),
    Row("gyroscopic forces", "Haber & Ruthotto 2017, in second order",
        "Y'' = -K^T relu(K Y) + (G - G^T) Y'", "param G, K : dense", "imaginary"),
    Row("Hamiltonian, two layers, with friction", "Galimberti et al. 2023; Zhong et al. 2020",
        "Y' = K1^T tanh(K1 Z + b1)\nZ' = -K2^T tanh(K2 Y + b2) - γ Z", TWO_LAYERS + "\nlet γ = 0.1",
        "stable", "decay of one state"),
    Row("… with unequal decay", "Chang et al. 2018 (AAAI), Eq. 6, dissipative",
        "Y' = tanh(K Z + b1) - 1/2 Y\nZ' = -tanh(K^T Y + b2) - 2 Z",
        "param K : dense\nparam b1, b2 : bias", "stable", "decay of each state"),
    Row("linear port-Hamiltonian", "van der Schaft 2006",
        "Y' = (J - J^T - R^T R) Q^T Q Y + B u", "param J, R, Q, B : dense", "stable",
        "the square is split"),
    Row("quadratic potential of two states", "van der Schaft 2006",
        "Y' = B^T (A Y + B Z + b)\nZ' = -A^T (A Y + B Z + b)",
        "param A, B : dense\nparam b : bias", "imaginary", "a linear unit of two states"),
    Row("chain of three", "Poisson structure",
        "X' = K1 tanh(Y)\nY' = K2 tanh(Z) - K1^T tanh(X)\nZ' = -K2^T tanh(Y)",
        "param K1, K2 : dense", "imaginary"),
    Row("driven cascade", "block triangular",
        "Y' = tanh((K - K^T) Y)\nZ' = A tanh(Y) - L^T relu(L Z)", "param A, K, L : dense", "stable",
        "spectrum only, no energy"),
    Row("oscillators without monotone forces", "Kuramoto, second order",
        "Y'' = -K^T sin(K Y)", K, "refuted", "energy conserved all the same"),
    Row("activations inside one another", "two hidden layers",
        "Y' = -K1^T tanh(K2^T tanh(K2 tanh(K1 Y)))", "param K1, K2 : dense", "refuted"),
)  # fmt: skip
