"""From the typed program to a torch module, LaTeX and reports: text only."""
