"""From disconnection to symptoms: which disconnection explains a score, and how well it predicts it."""
