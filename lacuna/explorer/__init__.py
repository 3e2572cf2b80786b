"""Draw a lesion in the browser, and see its disconnection while it moves: ``lacuna explore``."""
