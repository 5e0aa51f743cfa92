"""Checks that parts of a file fit together: equations and scheme, channels, flows and net."""
