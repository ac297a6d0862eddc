"""What the Runner needs beyond MMEngine's own parts."""
