"""The generated module of equations that contain the time `t`, against a recorded text."""

import odenet

TEXT = """"A driven two-layer Hamiltonian network."

state  Y, Z
param  K1, K2 : conv(3)
param  b1, b2 : bias

Y' =  K1^T tanh(K1 Z + t b1)
Z' = -K2^T tanh(K2 Y + t b2)

discretise stormer_verlet(T = 1)
"""


def test_the_module_of_a_driven_network_is_as_recorded(golden):
    golden("time/driven.py", odenet.loads(TEXT, name="driven.ode").source())


def test_a_stage_called_t_is_not_the_time():
    scheme = "scheme own {\nfor Y' = F(Y)\nt = F(Y[n])\nY[n+1] = Y[n] + h F(Y[n] + h/2 t)\n}\n"
    text = "state Y\nparam b : bias\nY' = tanh(Y + t b)\ndiscretise own(h = 0.1)\n" + scheme
    assert "t_ = self.rate_Y(Y, t, self.b[step])" in odenet.loads(text).source()
