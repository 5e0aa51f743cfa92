"""One run: started, resumed, measured on a test split, tried out, repeated from other seeds."""
