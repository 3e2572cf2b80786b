"""One run: what is wanted, what is missing, do it, write down what happened."""
