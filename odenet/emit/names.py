"""Python names for the names of a specification.

The namespaces of the language share one Python class. So a name that would shadow something gets an
underscore at its end, and one that looks like a generated method gets the prefix `own_`.
"""

import keyword
import re
from collections.abc import Iterable

# What generated code uses by name, and the attributes of torch.nn.Module and odenet.runtime.Flow
# (these two kept complete by tests/emit/test_names.py), and of Entry and AdaptiveFlow there.
_CODE = """
    h T torch Tensor nn functional NamedTuple State Flow Knotted Shear Term super tuple self state
    step steps channels classes c u inf nan adjoint_conv adjoint_dense adjoint_kernel bias
    conv conv_kernel dense dense_matrix diag diagonal eye_kernel given_layers initialised layers
    norm_layers scalar split Attention Coarsened Entry Mean Residual Shortcut Squeeze Tokens Unit
    Widen
    AdaptiveFlow Elementwise ValueError int float count index into stride shortcut c_new
    per_step range exponential Geometric Learned Ramp Uniform math
"""
_MODULE = """
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double
    dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter
    get_submodule half ipu load_state_dict modules mtia named_buffers named_children named_modules
    named_parameters parameters register_backward_hook register_buffer register_forward_hook
    register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
    register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
    set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu
    zero_grad
"""
_FLOW = """
    advance anchors channels collect collected collects_log_det compiled conditions context divisors
    drift encode energy evolve evolve_exactly exact field first_state forward_with_log_det
    frequency_bound give_up_reversing given initial inverse inverse_exactly is_invertible_in
    learned_names log_scale memory no_inverse norm note_drift obstacle obstacle_to_inverse operators
    python_maps ramped_constants readout refine relabel replica_pools require_density
    require_inverse require_numbers require_refinable retreat reversible shallow_copy shared shears
    slices slots smoothness space spec spectrum stability stability_limit states step_bytes steps
    stochastic stretches time_before timed times trajectory unrefinable varying warns_of_drift width
    with_fixed_constants
"""
_ENTRY = "skipped with_half_the_step"
_ADAPTIVE = "atol count evaluations method rtol solve steps_taken"
_WORDS = " ".join((_CODE, _MODULE, _FLOW, _ENTRY, _ADAPTIVE)).split()
RESERVED = frozenset([*_WORDS, *keyword.kwlist, *keyword.softkwlist])


class Names:
    """A function from names of a specification to distinct Python names, which it remembers.

    Args:
        imports: import statements whose names are not available.
    """

    def __init__(self, imports: Iterable[str] = ()) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._taken: set[str] = {*RESERVED, *re.findall(r"\w+", " ".join(imports))}

    def __call__(self, namespace: str, name: str, wanted: str = "") -> str:
        """The Python name for a name of the specification; the same one in every call.

        Args:
            namespace: its namespace, as "spec" or "scheme".
            name: the name in that namespace, in canonical spelling.
            wanted: the preferred Python name; by default the name itself.
        """
        key = (namespace, name)
        if key not in self._names:
            candidate = wanted or name
            if candidate.startswith(("rate_", "stage_", "exponent_")):
                candidate = f"own_{candidate}"
            while candidate in self._taken:
                candidate += "_"
            self._taken.add(candidate)
            self._names[key] = candidate
        return self._names[key]


def class_name(stem: str) -> str:
    """A class name from a file name: `hamiltonian_one_layer` -> `HamiltonianOneLayer`."""
    words = "".join(char if char.isascii() and char.isalnum() else " " for char in stem).split()
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if name[:1].isalpha() else f"Model{name}"
