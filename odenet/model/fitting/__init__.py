"""Whether what a file says fits together: equations and scheme, channels, flows and net."""
