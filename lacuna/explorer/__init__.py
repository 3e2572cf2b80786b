"""Draw a lesion in the browser and see what it disconnects while it moves: ``lacuna explore``."""
