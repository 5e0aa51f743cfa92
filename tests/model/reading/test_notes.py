import odenet

SPEC = """
state Y
param K : dense
let n = 2
let σ = tanh
let width = 4
let batches = 8
let idle = 3
Y' = tanh(K Y)
discretise euler(h = 1)
net = input(4) -> dense(width) -> σ -> flow(n)
train {
    batch = batches
}
"""


def test_a_let_is_idle_only_if_no_formula_layer_or_key_reads_it():
    program = odenet.loads(SPEC)
    messages = [warning.message for warning in program.model.notes]
    assert messages == ["nothing uses `idle`, so setting it changes nothing"]
    assert [let.name.spelling for let in program.model.lets] == []  # those of formulas
