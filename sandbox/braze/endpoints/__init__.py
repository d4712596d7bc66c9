"""What each Braze endpoint does with a body that came this far."""
