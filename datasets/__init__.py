"""Photos: reading, rejecting, splitting, and the bundled generated people."""
