"""Schemes as papers print them, with the order of accuracy that the literature gives.

Order 0 is that of schemes which solve their equation with another right-hand side.
"""

TEXTS = """
scheme candy_rozmus {                 # Candy & Rozmus 1991; Forest & Ruth 1990
    for Y' = F(Z), Z' = G(Y)
    let w  = 1 / (2 - 2^(1/3))
    Y1     = Y[n] + w/2 h F(Z[n])
    Z1     = Z[n] + w h G(Y1)
    Y2     = Y1 + (1 - w)/2 h F(Z1)
    Z2     = Z1 + (1 - 2 w) h G(Y2)
    Y3     = Y2 + (1 - w)/2 h F(Z2)
    Z[n+1] = Z2 + w h G(Y3)
    Y[n+1] = Y3 + w/2 h F(Z[n+1])
}
scheme pefrl(x = 0.1786178958448091, l = -0.2123418310626054, k = -0.06626458266981849) {
    for Y' = F(Z), Z' = G(Y)          # Omelyan, Mryglod & Folk 2002
    Y1     = Y[n] + x h F(Z[n])
    Z1     = Z[n] + (1 - 2 l)/2 h G(Y1)
    Y2     = Y1 + k h F(Z1)
    Z2     = Z1 + l h G(Y2)
    Y3     = Y2 + (1 - 2 (k + x)) h F(Z2)
    Z3     = Z2 + l h G(Y3)
    Y4     = Y3 + k h F(Z3)
    Z[n+1] = Z3 + (1 - 2 l)/2 h G(Y4)
    Y[n+1] = Y4 + x h F(Z[n+1])
}
scheme mclachlan2(a = 0.1931833275037836) {  # McLachlan 1995, two stages
    for Y' = F(Z), Z' = G(Y)
    Y1     = Y[n] + a h F(Z[n])
    Z1     = Z[n] + h/2 G(Y1)
    Y2     = Y1 + (1 - 2 a) h F(Z1)
    Z[n+1] = Z1 + h/2 G(Y2)
    Y[n+1] = Y2 + a h F(Z[n+1])
}
scheme position_verlet {
    for Y' = F(Z), Z' = G(Y)
    Y1     = Y[n] + h/2 F(Z[n])
    Z[n+1] = Z[n] + h G(Y1)
    Y[n+1] = Y1 + h/2 F(Z[n+1])
}
scheme symplectic_euler {
    for Y' = F(Z), Z' = G(Y)
    Y[n+1] = Y[n] + h F(Z[n])
    Z[n+1] = Z[n] + h G(Y[n+1])
}
scheme symplectic_euler_full {
    for Y' = F(Y, Z), Z' = G(Y, Z)
    Y[n+1] = Y[n] + h F(Y[n], Z[n])
    Z[n+1] = Z[n] + h G(Y[n+1], Z[n])
}
scheme newmark {                      # β = 0, the acceleration stored
    for Y'' = F(Y)
    aux V, A
    start V[0] = 0
    start A[0] = F(Y[0])
    Y[n+1] = Y[n] + h V[n] + h^2/2 A[n]
    A[n+1] = F(Y[n+1])
    V[n+1] = V[n] + h/2 (A[n] + A[n+1])
}
scheme adams_bashforth3 {
    for Y' = F(Y)
    start Y[-1] = Y[0] - h F(Y[0])
    start Y[-2] = Y[0] - 2 h F(Y[0])
    Y[n+1] = Y[n] + h/12 (23 F(Y[n]) - 16 F(Y[n-1]) + 5 F(Y[n-2]))
}
scheme nystrom3 {
    for Y' = F(Y)
    start Y[-1] = Y[0] - h F(Y[0])
    start Y[-2] = Y[0] - 2 h F(Y[0])
    Y[n+1] = Y[n-1] + h/3 (7 F(Y[n]) - 2 F(Y[n-1]) + F(Y[n-2]))
}
scheme robert_asselin(ν = 0.1) {      # Robert 1966, Asselin 1972
    for Y' = F(Y)
    aux B
    start B[0] = Y[0] - h F(Y[0])
    Y[n+1] = B[n] + 2 h F(Y[n])
    B[n+1] = Y[n] + ν (Y[n+1] - 2 Y[n] + B[n])
}
scheme gragg {                        # the modified midpoint rule, two steps and smoothing
    for Y' = F(Y)
    Y1     = Y[n] + h/2 F(Y[n])
    Y2     = Y[n] + h F(Y1)
    Y[n+1] = 1/2 (Y1 + Y2 + h/2 F(Y2))
}
scheme three_eighths {                # Kutta 1901
    for Y' = F(Y)
    k1 = F(Y[n])
    k2 = F(Y[n] + h/3 k1)
    k3 = F(Y[n] - h/3 k1 + h k2)
    k4 = F(Y[n] + h k1 - h k2 + h k3)
    Y[n+1] = Y[n] + h/8 (k1 + 3 k2 + 3 k3 + k4)
}
scheme ssprk3 {                       # Shu & Osher 1988
    for Y' = F(Y)
    Y1     = Y[n] + h F(Y[n])
    Y2     = 3/4 Y[n] + 1/4 Y1 + h/4 F(Y1)
    Y[n+1] = 1/3 Y[n] + 2/3 Y2 + 2/3 h F(Y2)
}
scheme heavy_ball_of_polyak(β = 0.5) {  # Polyak 1964
    for Y' = F(Y)
    aux v
    start v[0] = 0
    v[n+1] = β v[n] + h F(Y[n])
    Y[n+1] = Y[n] + v[n+1]
}
scheme averaged_velocity {
    for Y' = F(Y)
    aux v
    start v[0] = 0
    v[n+1] = 1/2 v[n] + h/2 F(Y[n])
    Y[n+1] = Y[n] + v[n+1]
}
scheme nesterov(β = 0.5) {            # Nesterov 1983
    for Y' = F(Y)
    start Y[-1] = Y[0]
    X      = Y[n] + β (Y[n] - Y[n-1])
    Y[n+1] = X + h F(X)
}
scheme rescaled(a = 0.5) {
    for Y' = F(Y)
    start Y[-1] = Y[0]
    Y[n+1] = a Y[n-1] + (1 - a) Y[n] + h F(Y[n])
}
scheme damped_alf(η = 0.8) {          # Zhuang et al. 2021
    for Y' = F(Y)
    aux V
    start V[0] = F(Y[0])
    Y1     = Y[n] + h/2 V[n]
    V[n+1] = (1 - 2 η) V[n] + 2 η F(Y1)
    Y[n+1] = Y1 + h/2 V[n+1]
}
scheme ees25 {                        # arXiv 2507.21006, EES(2, 5; 1/10)
    for Y' = F(Y)
    k1 = F(Y[n])
    k2 = F(Y[n] + h/3 k1)
    k3 = F(Y[n] - 5/48 h k1 + 15/16 h k2)
    Y[n+1] = Y[n] + h/10 k1 + h/2 k2 + 2/5 h k3
}
scheme rkc3 {                         # van der Houwen & Sommeijer 1980
    for Y' = F(Y)
    Y1     = Y[n] + h/9 F(Y[n])
    Y2     = 2 Y1 - Y[n] + 2/9 h F(Y1)
    Y[n+1] = 2 Y2 - Y1 + 2/9 h F(Y2)
}
scheme rkl3 {                         # Meyer, Balsara & Aslam 2012
    for Y' = F(Y)
    Y1     = Y[n] + h/6 F(Y[n])
    Y2     = 3/2 Y1 - 1/2 Y[n] + h/4 F(Y1)
    Y[n+1] = 5/3 Y2 - 2/3 Y1 + 5/18 h F(Y2)
}
scheme leapfrog_trapezoid {
    for Y' = F(Y)
    start Y[-1] = Y[0] - h F(Y[0])
    P      = Y[n-1] + 2 h F(Y[n])
    Y[n+1] = Y[n] + h/2 (F(Y[n]) + F(P))
}
scheme extrapolated_bdf2 {
    for Y' = F(Y)
    start Y[-1] = Y[0] - h F(Y[0])
    Y[n+1] = 4/3 Y[n] - 1/3 Y[n-1] + 2/3 h (2 F(Y[n]) - F(Y[n-1]))
}
scheme sspms43 {                      # Shu 1988
    for Y' = F(Y)
    start Y[-1] = 0
    start Y[-2] = 0
    start Y[-3] = 0
    Y[n+1] = 16/27 (Y[n] + 3 h F(Y[n])) + 11/27 (Y[n-3] + 12/11 h F(Y[n-3]))
}
scheme milne {
    for Y' = F(Y)
    start Y[-1] = 0
    start Y[-2] = 0
    start Y[-3] = 0
    Y[n+1] = Y[n-3] + 4/3 h (2 F(Y[n]) - F(Y[n-1]) + 2 F(Y[n-2]))
}
scheme midpoint_in_aux {
    for Y' = F(Y)
    aux A
    start A[0] = Y[0] - h F(Y[0])
    Y[n+1] = A[n] + 2 h F(Y[n])
    A[n+1] = Y[n]
}
scheme staggered {                    # a second copy of Y, half a step ahead
    for Y' = F(Y)
    aux Z
    start Z[0] = Y[0] + h/2 F(Y[0])
    Y[n+1] = Y[n] + h F(Z[n])
    Z[n+1] = Z[n] + h F(Y[n+1])
}
"""

ORDERS = {
    "candy_rozmus": 4, "pefrl": 4, "mclachlan2": 2, "position_verlet": 2, "symplectic_euler": 1,
    "symplectic_euler_full": 1, "newmark": 2, "adams_bashforth3": 3, "nystrom3": 3,
    "robert_asselin": 1, "gragg": 2, "three_eighths": 4, "ssprk3": 3, "heavy_ball_of_polyak": 0,
    "averaged_velocity": 1, "nesterov": 0, "rescaled": 0, "damped_alf": 1, "ees25": 2, "rkc3": 1,
    "rkl3": 1, "leapfrog_trapezoid": 2, "extrapolated_bdf2": 2, "sspms43": 3, "milne": 4,
    "midpoint_in_aux": 2, "staggered": 2,
}  # fmt: skip
