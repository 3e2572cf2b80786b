"""The page of ``lacuna explore`` in a notebook, served by a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lacuna.explorer.masks import list_masks
from lacuna.explorer.server import prepared
from lacuna.explorer.session import Session

if TYPE_CHECKING:
    from lacuna.streamlines.tractogram import Tractogram

#: the notebook may be served from anywhere; the address of the page is secret
_ANY = '* vscode-webview:'


class Explorer:
    """The page for drawing lesions, displayed in a notebook and served until it is closed; also a context manager.

    Returned by :meth:`lacuna.streamlines.tractogram.Tractogram.explore`.

    Attributes
    ----------
    address : str
        Address of the page, for a browser on this machine.
    height : int
        Height of the page in a notebook, in pixels.
    """

    def __init__(self, session: Session, *, height: int = 720) -> None:
        self.height = height
        self._stack = ExitStack()
        self._server, listening, self.address = self._stack.enter_context(prepared(session, within=_ANY))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={'sockets': [listening]}, name='lacuna-explore', daemon=True
        )
        self._thread.start()

    def __repr__(self) -> str:
        return f'<Explorer at {self.address}>' if self._thread.is_alive() else '<Explorer, closed>'

    def _repr_html_(self) -> str:
        if not self._thread.is_alive():
            return '<p>closed</p>'
        return (
            f'<iframe src="{self.address}" title="Lacuna explore" style="width: 100%; height: {self.height}px; border: 0" '
            'allow="clipboard-write"></iframe>'
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server; the page no longer responds. Repeated calls have no effect."""
        self._server.should_exit = True
        self._thread.join()
        self._stack.close()


def explore(
    tractogram: Tractogram,
    masks: str | Path | Iterable[str | Path] = (),
    *,
    atlases: Iterable[str | tuple[Any, Any, str]] = (),
    bundles: str | Path | None = None,
    space: str | None = None,
    output_dir: str | Path | None = None,
    height: int = 720,
) -> Explorer:
    """Serve the page for a tractogram; see :meth:`lacuna.streamlines.tractogram.Tractogram.explore`."""
    from lacuna.execution.settings import config_of

    named, custom = [], []
    for atlas in atlases:
        if isinstance(atlas, str):
            named.append(atlas)
        else:
            image, labels, atlas_space = atlas
            name = ''.join(filter(str.isalnum, Path(image).name.split('.')[0])).lower()
            custom.append((name, Path(image).absolute(), Path(labels).absolute(), atlas_space))
    values: dict[str, Any] = {
        'connectome_path': tractogram.path,
        'connectome_space': tractogram.space,
        'connectome_weights': tractogram.weights_source,
        'min_length': tractogram.min_length,
        'max_length': tractogram.max_length,
        'output_resolution': tractogram.resolution,
        'tck_upsample': tractogram.upsample,
        'nprocs': tractogram.nprocs,
        'parcel_atlases': named,
        'custom_parcellations': custom,
        'compute_roi_disconnection': bool(named or custom),
        'bundles': [bundles] if bundles else [],
        'mask_space': space,
        'source': Path('MASK'),
        'output_dir': output_dir or 'OUTPUT_DIR',
        'report': 'light',
    }
    given = [masks] if isinstance(masks, str | Path) else masks
    listed = list_masks(Path(each).expanduser().absolute() for each in given)
    config = config_of({name: value for name, value in values.items() if value is not None})
    session = Session(config, listed, saving=output_dir is not None, tractogram=tractogram)
    session.warm_up()
    return Explorer(session, height=height)
