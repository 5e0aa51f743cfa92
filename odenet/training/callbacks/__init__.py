"""What watches and changes a training while it runs, and Lightning's Trainer with all of it."""
