"""`python -m odenet` is the command line."""

from odenet.cli import main

main()
