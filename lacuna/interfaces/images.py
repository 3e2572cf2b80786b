"""Nodes that prepare masks and compute the disconnection map, its summary, and lesion load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from lacuna.bids.matrices import parcels_bytes
from lacuna.images.atlases import Atlas
from lacuna.images.maps import disconnection_map, lesion_summary
from lacuna.images.masks import check_touches, read_mask
from lacuna.images.nifti import load, make, save
from lacuna.images.regions import load_regions, read_regions, region_load, save_regions
from lacuna.images.spaces import standard_grid
from lacuna.images.support import support_mask
from lacuna.interfaces.cached import FileInCache
from lacuna.interfaces.connectivity import _AtlasInputSpec, read_cut, read_weighting
from lacuna.measures import MIN_SUPPORT
from lacuna.utils.cache import cached_or_local
from lacuna.utils.files import json_bytes


class _GridTemplateInputSpec(BaseInterfaceInputSpec):
    space = traits.Str(mandatory=True, desc='standard space')
    resolution = traits.Int(mandatory=True, desc='voxel size in mm')


class _ImageOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='written image')


class GridTemplate(SimpleInterface):
    """Write an empty image on a standard grid, the template for ``tckmap``."""

    input_spec = _GridTemplateInputSpec
    output_spec = _ImageOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        grid = standard_grid(self.inputs.space, self.inputs.resolution)
        target = Path(runtime.cwd, 'template.nii.gz')
        self._results['out_file'] = save(make(np.zeros(grid.shape, np.uint8), grid.affine), target)
        return runtime


class _PrepareMaskInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='lesion mask, on any grid of its space')
    binarize = traits.Float(
        desc='threshold above which values are lesion; by default, the mask must be binary'
    )
    mask_scale = traits.Range(
        low=0.0,
        exclude_low=True,
        desc='divisor of the values of a graded mask; by default, graded masks are refused',
    )
    packed = traits.Any(nohash=True, desc='content of in_file, if already read and usable (PackedMask)')


class _PrepareMaskOutputSpec(_ImageOutputSpec):
    inside = File(exists=True, desc='binary mask of the voxels above 0; the same image, unless it is graded')


class PrepareMask(SimpleInterface):
    """Check a lesion mask, and write it on its own grid: binary, or graded from 0 to 1 (float32).

    Raises
    ------
    lacuna.errors.MaskError
        If the mask is unusable or outside the brain. Empty masks are passed on.
    """

    input_spec = _PrepareMaskInputSpec
    output_spec = _PrepareMaskOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        if isdefined(self.inputs.packed):
            mask = self.inputs.packed.unpack()
        else:
            given = {name: getattr(self.inputs, name) for name in ('binarize', 'mask_scale')}
            mask = read_mask(
                self.inputs.in_file, **{k: value for k, value in given.items() if isdefined(value)}
            )
            check_touches(self.inputs.in_file, mask)
        # uncompressed: read several times, and removed when the mask is finished
        target = Path(runtime.cwd, 'mask.nii')
        self._results['out_file'] = self._results['inside'] = save(mask.image(), target)
        if mask.values is not None:
            inside = make(mask.data.view(np.uint8), mask.affine)
            self._results['inside'] = save(inside, Path(runtime.cwd, 'inside.nii'))
        return runtime


class _DisconnectionMapInputSpec(BaseInterfaceInputSpec):
    lesion_tdi = File(exists=True, mandatory=True, desc='density of the disconnected streamlines')
    full_tdi = File(exists=True, mandatory=True, desc='density of all streamlines, on the same grid')


class DisconnectionMap(SimpleInterface):
    """Compute the disconnection map in percent (float32): the ratio of two densities."""

    input_spec = _DisconnectionMapInputSpec
    output_spec = _ImageOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        percent = disconnection_map(load(self.inputs.lesion_tdi), load(self.inputs.full_tdi))
        self._results['out_file'] = save(percent, Path(runtime.cwd, 'disconnection.nii.gz'))
        return runtime


class _SupportMaskInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='number of all streamlines that visit each voxel')
    min_support = traits.Range(
        low=1, value=MIN_SUPPORT, usedefault=True, desc='minimum number of streamlines in a supported voxel'
    )


class SupportMask(SimpleInterface):
    """Write the mask of voxels with supported percentages, which enough streamlines visit."""

    input_spec = _SupportMaskInputSpec
    output_spec = _ImageOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        found = support_mask(load(self.inputs.in_file), self.inputs.min_support)
        self._results['out_file'] = save(found, Path(runtime.cwd, 'support.nii.gz'))
        return runtime


class _SummaryStatisticsInputSpec(BaseInterfaceInputSpec):
    in_mask = File(exists=True, mandatory=True, desc='lesion mask on its own grid')
    disconnection_map = File(exists=True, mandatory=True, desc='disconnection map, in percent')
    full_tdi = File(exists=True, mandatory=True, desc='density of all streamlines')
    streamlines_total = traits.Int(mandatory=True, desc='number of streamlines in the tractogram')
    streamlines_disconnected = traits.Int(mandatory=True, desc='streamlines with a vertex in the mask')
    counts = File(exists=True, desc='number of streamlines that visit each voxel, if full_tdi is weighted')
    min_support = traits.Range(
        low=1, value=MIN_SUPPORT, usedefault=True, desc='minimum number of streamlines in a supported voxel'
    )
    selected = File(
        exists=True, desc='indices of the disconnected streamlines (.npy, or text), for weights and lengths'
    )
    weighting = File(exists=True, desc='weights of the streamlines, from WeighStreamlines')
    warnings = traits.List(traits.Str, desc='warnings about the mask and the tractogram')


class _SummaryStatisticsOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='JSON')


class SummaryStatistics(SimpleInterface):
    """Compute volume, counts and extent of the disconnection by one lesion, as JSON."""

    input_spec = _SummaryStatisticsInputSpec
    output_spec = _SummaryStatisticsOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        statistics = lesion_summary(
            load(self.inputs.in_mask),
            load(self.inputs.disconnection_map),
            load(self.inputs.full_tdi),
            streamlines_total=self.inputs.streamlines_total,
            streamlines_disconnected=self.inputs.streamlines_disconnected,
            support=load(self.inputs.counts) if isdefined(self.inputs.counts) else None,
            min_support=self.inputs.min_support,
        )
        if isdefined(self.inputs.selected):
            weighting = read_weighting(self.inputs.weighting)
            statistics |= weighting.summary(read_cut(self.inputs.selected, weighting))
        statistics['warnings'] = '; '.join(self.inputs.warnings) or None
        target = Path(runtime.cwd, 'summary.json')
        target.write_bytes(json_bytes(statistics))
        self._results['out_file'] = str(target)
        return runtime


class _PrepareRegionsInputSpec(_AtlasInputSpec):
    out_file = File(
        'regions.npz',
        usedefault=True,
        desc='file to write; with an absolute path, an existing file is used',
    )


class _PrepareRegionsOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='voxels of the regions (.npz), for RegionLoad')


class PrepareRegions(FileInCache, SimpleInterface):
    """Read an atlas of labels or probabilities (4D), and save its voxels for the lesion load of many masks."""

    input_spec = _PrepareRegionsInputSpec
    output_spec = _PrepareRegionsOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        atlas = Atlas(inputs.name, Path(inputs.image), Path(inputs.labels), inputs.space, 'given')
        space, transform = inputs.space, None
        if isdefined(inputs.transform):
            space, transform = inputs.target_space, Path(inputs.transform)

        def make(target: Path) -> None:
            save_regions(read_regions(atlas, space, transform), target)

        self._results['out_file'] = str(cached_or_local(runtime.cwd, inputs.out_file, make))
        return runtime


class _RegionLoadInputSpec(BaseInterfaceInputSpec):
    in_mask = File(exists=True, mandatory=True, desc='lesion mask, binary or graded, on any grid')
    regions = File(exists=True, mandatory=True, desc='from PrepareRegions')


class _RegionLoadOutputSpec(TraitedSpec):
    lesion_load = File(exists=True, desc='percentage of each region that is lesion (.tsv)')
    lesion_probability = File(desc='largest probability of each region in the lesion (.tsv)')


class RegionLoad(SimpleInterface):
    """Compute the percentage of each region of an atlas that one lesion covers."""

    input_spec = _RegionLoadInputSpec
    output_spec = _RegionLoadOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        regions = load_regions(self.inputs.regions)
        for key, values in region_load(load(self.inputs.in_mask), regions).items():
            target = Path(runtime.cwd, f'{key}.tsv')
            target.write_bytes(parcels_bytes(regions.names, values))
            self._results[key] = str(target)
        return runtime
