"""Which disconnection explains a score, and how well it predicts the score."""
