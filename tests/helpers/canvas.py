"""What the canvas of a page shows."""

import io

import numpy as np


def picture(page, drawing: str) -> np.ndarray:
    """The picture, (rows, columns, 3), after JavaScript of the page that draws what is due (or its promise)."""
    from PIL import Image

    page.evaluate(drawing)
    # of a change in one frame, the next but one shows all
    page.evaluate('new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))')
    shot = page.locator('canvas').screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert('RGB'), int)
