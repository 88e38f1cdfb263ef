# shapes: what the demonstration's detector knows: discs, squares and triangles, drawn over photographs.
# Shared by make_dataset.py and make_video.py, so that both speak of the same things.
# SPDX-License-Identifier: Apache-2.0
import glob
import math
import os

import cv2
import numpy as np

NAMES = ["disc", "square", "triangle"]
PHOTOS = os.environ.get("OSCAR_PHOTOS", "/usr/share/darknet/data")
AA = 4  # shapes are drawn this many times larger and scaled down, so that their edges are smooth


def load_photos():
    """The seven photographs of Debian's darknet package, in the order of their names."""
    found = [p for p in sorted(glob.glob(os.path.join(PHOTOS, "*.jpg")))]
    photos = [(os.path.basename(p), cv2.imread(p)) for p in found]
    photos = [(n, i) for n, i in photos if i is not None]
    if not photos:
        raise SystemExit(f"no photographs in {PHOTOS}: install the package darknet, or set OSCAR_PHOTOS")
    return photos


def crop_scaled(photo, x, y, side, out):
    """A square piece of a photograph, scaled to out × out."""
    piece = photo[y : y + side, x : x + side]
    how = cv2.INTER_AREA if side > out else cv2.INTER_LINEAR
    return cv2.resize(piece, (out, out), interpolation=how)


def random_crop(rng, photo, out, smallest=0.25):
    height, width = photo.shape[:2]
    side = int(min(height, width) * rng.uniform(smallest, 1.0))
    x = int(rng.integers(0, width - side + 1))
    y = int(rng.integers(0, height - side + 1))
    return crop_scaled(photo, x, y, side, out)


def outline(kind, cx, cy, size, angle):
    """Corner points of a square or triangle whose circumscribed circle has diameter size."""
    corners = 4 if kind == 1 else 3
    start = angle - math.pi / 2 + (math.pi / 4 if kind == 1 else 0)
    steps = [start + 2 * math.pi * k / corners for k in range(corners)]
    return np.array([(cx + size / 2 * math.cos(a), cy + size / 2 * math.sin(a)) for a in steps])


def box_of(kind, cx, cy, size, angle):
    """The smallest upright box around the shape: x, y, width, height."""
    if kind == 0:
        return [cx - size / 2, cy - size / 2, size, size]
    points = outline(kind, cx, cy, size, angle)
    low, high = points.min(axis=0), points.max(axis=0)
    return [low[0], low[1], high[0] - low[0], high[1] - low[1]]


def draw(image, kind, cx, cy, size, angle, colour):
    """Draws one filled shape with smooth edges; parts outside the picture are cut off."""
    margin = int(size / 2) + 2
    x0, y0 = max(0, int(cx) - margin), max(0, int(cy) - margin)
    x1 = min(image.shape[1], int(cx) + margin + 1)
    y1 = min(image.shape[0], int(cy) + margin + 1)
    if x0 >= x1 or y0 >= y1:
        return
    mask = np.zeros(((y1 - y0) * AA, (x1 - x0) * AA), np.uint8)
    px, py = (cx - x0) * AA, (cy - y0) * AA
    if kind == 0:
        cv2.circle(mask, (round(px), round(py)), round(size / 2 * AA), 255, -1)
    else:
        points = outline(kind, px, py, size * AA, angle)
        cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 255)
    cover = cv2.resize(mask, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)[..., None] / 255.0
    part = image[y0:y1, x0:x1]
    image[y0:y1, x0:x1] = (part * (1 - cover) + np.array(colour) * cover).astype(np.uint8)


def colour_against(rng, image, cx, cy, size):
    """A colour that differs visibly from what lies below the shape."""
    x0, y0 = int(max(0, cx - size / 2)), int(max(0, cy - size / 2))
    below = image[y0 : int(cy + size / 2) + 1, x0 : int(cx + size / 2) + 1].reshape(-1, 3).mean(axis=0)
    colour = rng.integers(0, 256, 3)
    for _ in range(20):
        if np.abs(colour - below).max() >= 90:
            break
        colour = rng.integers(0, 256, 3)
    return [int(c) for c in colour]


def overlap(a, b):
    """Intersection over union of two boxes x, y, width, height."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h)
