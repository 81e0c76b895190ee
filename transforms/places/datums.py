"""GCJ-02, the datum of public Chinese maps, and WGS-84."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GCJ02_BOX = (72.004, 137.8347, 0.8293, 55.8271)
"""Least and greatest longitude, then latitude, in WGS-84, between which GCJ-02 differs from it."""

_AXIS, _ECCENTRICITY_2 = 6_378_245.0, 0.00669342162296594323
"""Krasovsky 1940, on which the shift is computed."""


def wgs84_to_gcj02(longitude: Floats, latitude: Floats) -> tuple[Floats, Floats]:
    """Where GCJ-02 has points of WGS-84: float64 (n,) each, degrees. Outside GCJ02_BOX they stay.

    The shift, of some 100 to 700 m, is no secret any more; the formula and its constants are those of the published
    reimplementations (Wikipedia, Restrictions on geographic data in China, GCJ-02).
    """
    x, y = longitude - 105.0, latitude - 35.0
    root = np.sqrt(np.abs(x))
    waves_x = (20 * np.sin(6 * np.pi * x) + 20 * np.sin(2 * np.pi * x)) * 2 / 3
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root + waves_x
    north += (20 * np.sin(np.pi * y) + 40 * np.sin(np.pi / 3 * y)) * 2 / 3
    north += (160 * np.sin(np.pi / 12 * y) + 320 * np.sin(np.pi / 30 * y)) * 2 / 3
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root + waves_x
    east += (20 * np.sin(np.pi * x) + 40 * np.sin(np.pi / 3 * x)) * 2 / 3
    east += (150 * np.sin(np.pi / 12 * x) + 300 * np.sin(np.pi / 30 * x)) * 2 / 3
    phi = np.radians(latitude)
    magic = 1 - _ECCENTRICITY_2 * np.sin(phi) ** 2
    north *= 180 / (np.pi * _AXIS * (1 - _ECCENTRICITY_2) / magic**1.5)
    east *= 180 / (np.pi * _AXIS / np.sqrt(magic) * np.cos(phi))
    left, right, bottom, top = GCJ02_BOX
    shifted = (longitude >= left) & (longitude <= right) & (latitude >= bottom) & (latitude <= top)
    return np.where(shifted, longitude + east, longitude), np.where(shifted, latitude + north, latitude)


def gcj02_to_wgs84(longitude: Floats, latitude: Floats) -> tuple[Floats, Floats]:
    """Where WGS-84 has points of GCJ-02: the inverse, to less than a millimetre; float64 (n,) each, degrees.

    Found by repetition: the shift changes by under a hundredth of itself over its own length. At the edge of
    GCJ02_BOX, where the datum jumps, a point that no point of WGS-84 is shifted to stays.
    """
    x, y = longitude, latitude
    for _ in range(8):
        there_x, there_y = wgs84_to_gcj02(x, y)
        x, y = x + (longitude - there_x), y + (latitude - there_y)
    there_x, there_y = wgs84_to_gcj02(x, y)
    found = (np.abs(there_x - longitude) < 1e-9) & (np.abs(there_y - latitude) < 1e-9)
    return np.where(found, x, longitude), np.where(found, y, latitude)
