"""Write a deep network as an ODE; get a reversible torch module, its inverse and a proof."""

__version__ = "0.1.0"
