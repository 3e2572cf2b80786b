"""Where the synthetic bundles run: points in MNI152 world mm (RAS+) along each, for the left hemisphere.

The points are approximated from textbook anatomy in MNI space; they do not come from an atlas or a subject.

A bundle is a sheet: one or more spines with the same number of points, with streamlines between them. One spine makes
a tube, several make a fan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Point = tuple[float, float, float]
Spine = tuple[Point, ...]


@dataclass(frozen=True)
class Landmarks:
    """The course of a bundle in the left hemisphere.

    Attributes
    ----------
    name : str
    count : int
        Streamlines (in each hemisphere).
    spines : tuple of tuple of points
        World mm; (spines, points, 3).
    spread : tuple of float
        Standard deviation of the streamlines around the sheet at each point, mm.
    cortical : tuple of bool
        Whether the first and the last end grow until they reach the cortex.
    course : str
        'pair': within the hemisphere, with a mirrored twin; 'commissure': the spines end on the midline and continue
        mirrored; 'crossing': they cross the midline as given, with a mirrored twin.
    """

    name: str
    count: int
    spines: tuple[Spine, ...]
    spread: tuple[float, ...]
    cortical: tuple[bool, bool] = (True, True)
    course: str = 'pair'

    def __post_init__(self) -> None:
        shape = np.shape(self.spines)
        if len(shape) != 3 or shape[2] != 3 or shape[1] != len(self.spread):
            message = f'{self.name}: spines or spread of unequal length'
            raise ValueError(message)


# The callosum is one sheet from rostrum to splenium; its parts are runs of neighbouring spines.
_ROSTRUM: Spine = ((-16, 38, -16), (-15, 34, -8), (-11, 28, -3), (-5, 24, -2), (0, 23, -2))
_GENU: Spine = ((-16, 58, 3), (-17, 48, 5), (-14, 37, 6), (-6, 30, 4), (0, 29, 4))
_MINOR: Spine = ((-22, 52, 22), (-20, 42, 20), (-15, 32, 15), (-6, 27, 13), (0, 26, 12))
_PREFRONTAL: Spine = ((-24, 34, 44), (-23, 28, 34), (-17, 21, 26), (-7, 17, 21), (0, 16, 19))
_PREMOTOR: Spine = ((-24, 10, 58), (-24, 7, 44), (-18, 4, 31), (-8, 2, 26), (0, 2, 24))
_MOTOR_HAND: Spine = ((-36, -18, 56), (-31, -17, 43), (-21, -13, 32), (-8, -11, 27), (0, -11, 26))
_MOTOR_LEG: Spine = ((-12, -28, 68), (-18, -24, 50), (-18, -19, 34), (-8, -17, 27), (0, -17, 26))
_SENSORY: Spine = ((-32, -38, 60), (-28, -34, 47), (-20, -28, 33), (-8, -25, 26), (0, -25, 25))
_PARIETAL: Spine = ((-26, -60, 54), (-27, -54, 42), (-21, -42, 28), (-8, -34, 21), (0, -33, 19))
_CUNEUS: Spine = ((-18, -84, 26), (-25, -72, 24), (-24, -54, 20), (-10, -40, 15), (0, -37, 14))
_MAJOR: Spine = ((-14, -93, 2), (-24, -78, 8), (-26, -58, 12), (-12, -42, 10), (0, -38, 9))
_TAPETUM_HIGH: Spine = ((-48, -54, 20), (-40, -52, 20), (-30, -46, 19), (-12, -38, 18), (0, -35, 17))
_TAPETUM: Spine = ((-50, -38, -8), (-40, -43, 2), (-32, -44, 12), (-13, -38, 16), (0, -35, 16))


def _callosum(name: str, count: int, *spines: Spine) -> Landmarks:
    return Landmarks(f'CC_{name}', count, spines, (7.0, 4.5, 2.5, 1.5, 1.2), course='commissure')


_COMMISSURES = (
    _callosum('Rostrum', 240, _ROSTRUM, _GENU),
    _callosum('Genu', 800, _GENU, _MINOR, _PREFRONTAL),
    _callosum('Body', 880, _PREFRONTAL, _PREMOTOR, _MOTOR_HAND),
    _callosum('Motor', 720, _MOTOR_HAND, _MOTOR_LEG, _SENSORY),
    _callosum('Isthmus', 560, _SENSORY, _PARIETAL),
    _callosum('Splenium', 880, _PARIETAL, _CUNEUS, _MAJOR),
    _callosum('Tapetum', 280, _TAPETUM_HIGH, _TAPETUM),
    Landmarks(
        'AnteriorCommissure',
        120,
        (((-46, -2, -26), (-36, -2, -17), (-24, 0, -9), (-12, 3, -5), (0, 3, -4)),),
        (5.0, 3.0, 1.5, 0.8, 0.8),
        course='commissure',
    ),
    Landmarks(
        'MiddleCerebellarPeduncle',
        560,
        (
            ((-36, -66, -34), (-31, -56, -35), (-23, -42, -35), (-15, -30, -33), (0, -23, -31)),
            ((-24, -70, -44), (-26, -58, -40), (-21, -43, -37), (-14, -31, -36), (0, -24, -36)),
        ),
        (6.0, 4.0, 2.0, 2.0, 2.0),
        (False, False),
        'commissure',
    ),
)

_PROJECTIONS = (
    Landmarks(
        'CorticospinalTract',
        480,
        (
            (
                (-3, -42, -62),
                (-4, -36, -48),
                (-6, -25, -33),
                (-15, -18, -12),
                (-22, -16, 6),
                (-22, -21, 26),
                (-16, -28, 46),
                (-9, -32, 62),
            ),
            (
                (-3, -42, -62),
                (-4, -36, -48),
                (-6, -25, -33),
                (-15, -18, -12),
                (-22, -15, 6),
                (-24, -20, 26),
                (-24, -26, 44),
                (-24, -29, 60),
            ),
            (
                (-3, -42, -62),
                (-4, -36, -48),
                (-6, -25, -33),
                (-15, -17, -12),
                (-22, -14, 6),
                (-25, -19, 25),
                (-31, -21, 41),
                (-38, -22, 52),
            ),
            (
                (-3, -42, -62),
                (-4, -36, -48),
                (-6, -25, -33),
                (-15, -17, -12),
                (-21, -13, 6),
                (-26, -16, 23),
                (-37, -12, 32),
                (-50, -6, 35),
            ),
        ),
        (1.0, 1.2, 1.8, 1.6, 1.6, 2.2, 3.2, 4.5),
        (False, True),
    ),
    Landmarks(
        'FrontopontineTract',
        200,
        (
            ((-4, -21, -30), (-11, -16, -13), (-17, -2, 2), (-19, 8, 12), (-22, 20, 26), (-22, 36, 38)),
            ((-4, -21, -30), (-11, -16, -13), (-18, -6, 3), (-22, 0, 16), (-24, 4, 32), (-22, 8, 54)),
        ),
        (1.8, 1.5, 1.5, 1.8, 3.0, 5.0),
        (False, True),
    ),
    Landmarks(
        'Parietopontine',
        160,
        (
            ((-6, -26, -28), (-17, -22, -11), (-25, -24, 6), (-26, -30, 24), (-25, -42, 40), (-22, -56, 54)),
            ((-6, -26, -28), (-17, -22, -11), (-25, -24, 6), (-28, -32, 22), (-34, -46, 32), (-40, -58, 38)),
        ),
        (1.8, 1.5, 1.5, 2.0, 3.5, 5.0),
        (False, True),
    ),
    Landmarks(
        'AnteriorThalamicRadiation',
        360,
        (
            ((-9, -10, 8), (-14, 2, 5), (-18, 14, 5), (-20, 28, 0), (-19, 42, -10)),
            ((-9, -11, 9), (-14, 1, 7), (-18, 13, 8), (-21, 30, 10), (-24, 52, 10)),
            ((-9, -12, 10), (-14, 0, 9), (-19, 11, 12), (-24, 26, 22), (-32, 40, 28)),
        ),
        (2.5, 1.8, 1.8, 3.0, 5.0),
        (False, True),
    ),
    Landmarks(
        'SuperiorThalamicRadiation',
        440,
        (
            ((-12, -16, 10), (-20, -10, 17), (-24, -4, 30), (-20, 0, 46), (-14, 0, 60)),
            ((-13, -19, 10), (-21, -17, 17), (-27, -17, 30), (-32, -17, 44), (-34, -17, 56)),
            ((-13, -20, 11), (-21, -20, 18), (-28, -22, 30), (-38, -24, 42), (-48, -24, 46)),
            ((-13, -23, 11), (-21, -26, 18), (-26, -34, 32), (-26, -44, 46), (-24, -52, 58)),
        ),
        (2.5, 2.0, 2.5, 3.5, 4.5),
        (False, True),
    ),
    Landmarks(
        'PosteriorThalamicRadiation',
        280,
        (
            ((-15, -28, 8), (-24, -34, 12), (-29, -46, 18), (-32, -60, 28), (-36, -68, 38)),
            ((-15, -28, 6), (-25, -34, 6), (-33, -44, 6), (-42, -54, 2), (-48, -60, -4)),
        ),
        (2.5, 2.0, 2.5, 3.5, 4.5),
        (False, True),
    ),
    Landmarks(
        'OpticRadiation',
        440,
        (
            (
                (-22, -25, -2),
                (-28, -15, -7),
                (-35, -8, -13),
                (-40, -20, -13),
                (-40, -38, -9),
                (-34, -58, -4),
                (-24, -76, -3),
                (-13, -90, -5),
            ),
            (
                (-22, -25, -1),
                (-29, -20, -3),
                (-36, -22, -5),
                (-39, -31, -4),
                (-38, -43, -1),
                (-33, -60, 3),
                (-23, -77, 4),
                (-11, -91, 3),
            ),
            (
                (-22, -26, 0),
                (-28, -27, 3),
                (-33, -32, 5),
                (-35, -39, 7),
                (-34, -48, 9),
                (-30, -62, 12),
                (-21, -77, 12),
                (-10, -88, 10),
            ),
        ),
        (1.5, 1.5, 1.5, 1.5, 1.8, 2.2, 3.0, 4.0),
        (False, True),
    ),
    Landmarks(
        'Corticostriatal',
        280,
        (
            ((-26, 8, 0), (-26, 16, 10), (-26, 26, 20), (-28, 38, 26)),
            ((-27, 2, 4), (-27, 2, 20), (-27, 2, 36), (-26, 4, 52)),
            ((-28, -8, 4), (-29, -14, 20), (-32, -18, 36), (-36, -20, 50)),
        ),
        (2.5, 2.5, 3.5, 5.0),
        (False, True),
    ),
    Landmarks(
        'SuperiorCerebellarPeduncle',
        160,
        (((-18, -60, -34), (-10, -48, -27), (-5, -38, -18), (2, -28, -10), (8, -20, -2), (12, -17, 8)),),
        (3.0, 1.5, 1.2, 1.2, 1.5, 2.5),
        (False, False),
        'crossing',
    ),
    Landmarks(
        'InferiorCerebellarPeduncle',
        100,
        (((-5, -42, -60), (-8, -41, -48), (-13, -43, -38), (-16, -50, -32), (-14, -60, -26)),),
        (1.0, 1.2, 1.5, 2.0, 4.0),
        (False, False),
    ),
)

_ASSOCIATIONS = (
    Landmarks(
        'ArcuateFasciculus',
        480,
        (
            (
                (-50, 16, 12),
                (-41, 3, 23),
                (-36, -18, 27),
                (-38, -38, 25),
                (-45, -46, 9),
                (-51, -34, -4),
                (-55, -14, -14),
            ),
            (
                (-46, 4, 30),
                (-39, -6, 31),
                (-36, -23, 31),
                (-38, -42, 27),
                (-44, -53, 11),
                (-49, -48, -5),
                (-54, -40, -16),
            ),
        ),
        (4.5, 3.0, 2.2, 2.2, 2.5, 3.0, 4.5),
    ),
    Landmarks(
        'SuperiorLongitudinalFasciculus2',
        280,
        (((-36, 30, 32), (-31, 14, 36), (-30, -10, 37), (-34, -34, 38), (-42, -54, 40)),),
        (5.5, 3.5, 2.5, 3.0, 5.0),
    ),
    Landmarks(
        'SuperiorLongitudinalFasciculus3',
        280,
        (((-50, 12, 20), (-43, 0, 27), (-40, -14, 31), (-44, -28, 32), (-54, -36, 32)),),
        (4.5, 3.0, 2.5, 3.0, 4.5),
    ),
    Landmarks(
        'InferiorFrontoOccipitalFasciculus',
        360,
        (
            (
                (-20, 50, -4),
                (-24, 36, -5),
                (-29, 16, -5),
                (-34, -6, -7),
                (-38, -32, -3),
                (-35, -56, 2),
                (-26, -76, 2),
                (-18, -92, 0),
            ),
            (
                (-38, 40, 8),
                (-33, 30, 3),
                (-30, 15, -3),
                (-34, -6, -6),
                (-38, -32, -1),
                (-35, -57, 7),
                (-29, -75, 14),
                (-24, -86, 20),
            ),
        ),
        (5.0, 3.0, 1.8, 1.6, 2.2, 2.8, 3.5, 4.5),
    ),
    Landmarks(
        'InferiorLongitudinalFasciculus',
        400,
        (
            (
                (-40, 6, -32),
                (-42, -8, -26),
                (-43, -26, -18),
                (-42, -44, -11),
                (-37, -62, -6),
                (-30, -78, -5),
                (-22, -92, -4),
            ),
            (
                (-54, -8, -22),
                (-50, -18, -19),
                (-46, -30, -14),
                (-43, -46, -7),
                (-39, -62, 0),
                (-36, -76, 5),
                (-32, -88, 10),
            ),
        ),
        (4.5, 3.5, 2.5, 2.5, 2.5, 3.5, 4.5),
    ),
    Landmarks(
        'UncinateFasciculus',
        240,
        (
            ((-38, 10, -32), (-37, 3, -24), (-34, 3, -14), (-31, 12, -8), (-26, 26, -10), (-18, 40, -14)),
            ((-44, 4, -30), (-39, 1, -23), (-35, 2, -13), (-32, 12, -6), (-29, 26, -6), (-30, 40, -8)),
        ),
        (4.0, 2.5, 1.6, 1.6, 2.5, 4.5),
    ),
    Landmarks(
        'Cingulum',
        360,
        (
            (
                (-7, 26, -10),
                (-8, 37, 4),
                (-8, 30, 20),
                (-9, 10, 33),
                (-9, -16, 37),
                (-9, -36, 36),
                (-10, -52, 28),
            ),
            (
                (-9, 46, 10),
                (-9, 36, 20),
                (-9, 24, 28),
                (-9, 6, 35),
                (-9, -16, 38),
                (-9, -38, 38),
                (-9, -60, 38),
            ),
        ),
        (3.0, 1.6, 1.3, 1.3, 1.3, 1.5, 4.0),
    ),
    Landmarks(
        'CingulumTemporal',
        160,
        (((-9, -44, 30), (-11, -52, 16), (-17, -46, 2), (-23, -36, -8), (-25, -24, -18), (-25, -12, -24)),),
        (3.0, 1.6, 1.3, 1.5, 1.5, 2.5),
    ),
    Landmarks(
        'Fornix',
        160,
        (
            (
                (-24, -13, -20),
                (-29, -26, -12),
                (-27, -36, -2),
                (-16, -38, 10),
                (-3.5, -26, 18),
                (-2.5, -10, 17),
                (-3, 1, 8),
                (-3, 0, -2),
                (-4, -6, -9),
            ),
        ),
        (2.0, 1.6, 1.2, 1.0, 0.5, 0.5, 0.5, 0.5, 0.6),
        (False, False),
    ),
    Landmarks(
        'FrontalAslantTract',
        240,
        (((-8, 6, 58), (-16, 9, 48), (-28, 12, 34), (-39, 14, 22), (-48, 16, 12)),),
        (4.0, 3.0, 2.5, 2.5, 4.0),
    ),
    Landmarks(
        'MiddleLongitudinalFasciculus',
        200,
        (((-50, 4, -14), (-47, -12, -8), (-43, -34, 4), (-39, -52, 18), (-36, -66, 34)),),
        (4.0, 2.5, 2.0, 2.5, 4.5),
    ),
    Landmarks(
        'VerticalOccipitalFasciculus',
        160,
        (
            ((-38, -62, -14), (-38, -64, -4), (-37, -66, 8), (-34, -70, 26)),
            ((-32, -80, -10), (-34, -80, -2), (-33, -80, 8), (-28, -82, 22)),
        ),
        (3.5, 2.5, 2.5, 4.0),
    ),
)

#: all bundles except the short fibres, which have no landmarks
BUNDLES = (*_COMMISSURES, *_PROJECTIONS, *_ASSOCIATIONS)
