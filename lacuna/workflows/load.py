"""Workflow for lesion load: the percentage of each region of an atlas that is lesion."""

from __future__ import annotations

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.interfaces.images import RegionLoad
from lacuna.workflows import methods
from lacuna.workflows.literate import Workflow
from lacuna.workflows.resources import SMALL

LOAD_FIELDS = ('lesion_load', 'lesion_probability')


def init_load_wf(*, name: str = 'load_wf') -> Workflow:
    """Compute the percentage of each region of an atlas that is lesion.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.load import init_load_wf

            wf = init_load_wf()

    Parameters
    ----------
    name : str

    Inputs
    ------
    mask
        Lesion mask, binary or graded, on any grid.
    regions
        Voxels of the atlas in the space of the mask, from :class:`lacuna.interfaces.images.PrepareRegions`.

    Outputs
    -------
    lesion_load
        Table (``.tsv``) of the percentage of each region that is lesion.
    lesion_probability
        For probability atlases: table of the largest probability of each region inside the lesion.
    """
    workflow = Workflow(name=name)
    workflow.__desc__ = methods.load()
    inputnode = pe.Node(niu.IdentityInterface(fields=['mask', 'regions']), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=list(LOAD_FIELDS)), name='outputnode')
    load = pe.Node(RegionLoad(), name='load', mem_gb=SMALL)
    workflow.connect([
        (inputnode, load, [('mask', 'in_mask'), ('regions', 'regions')]),
        (load, outputnode, [(field, field) for field in LOAD_FIELDS]),
    ])  # fmt: skip
    return workflow
