from typing import Any

from sympy import Symbol
from sympy.polys.fields import FracField

class Domain:
    def __call__(self, numerator: int, denominator: int) -> Any: ...
    def frac_field(self, *symbols: Symbol) -> FracField: ...
