"""The typed program: what a file says, resolved and checked, as frozen values and as text."""
