"""What editors ask about a specification while it is written, and a grammar of its words."""
