"""The page of a specification or a run: one self-contained HTML file, and its figures."""
