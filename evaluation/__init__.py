"""Numbers from embeddings alone: how well people are told apart, and what cloaks change of it."""
