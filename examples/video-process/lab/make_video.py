#!/usr/bin/python3
# make_video: the demonstration's video and the truth about it. Ten scenes, one photograph each in turn,
# slowly panned, with two or three shapes that move over it and bounce at the edges.
#   make_video.py OUT.mp4 TRUTH.json [--seconds 100] [--fps 10] [--side 384] [--seed 7]
# The truth lists, for every frame of the video, the boxes of its shapes: [{class, box: [x, y, w, h]}].
# SPDX-License-Identifier: Apache-2.0
import argparse
import json
import math
import subprocess

import cv2
import numpy as np

import shapes

SCENES = 10


class Mover:
    """A shape on a straight way, with its centre kept inside the picture."""

    def __init__(self, rng, side, kind):
        self.kind, self.side = kind, side
        self.size = rng.uniform(0.13, 0.40) * side
        self.angle = rng.uniform(-math.pi / 9, math.pi / 9)
        self.place = rng.uniform(self.size / 2, side - self.size / 2, 2)
        speed, way = rng.uniform(0.03, 0.12) * side, rng.uniform(0, 2 * math.pi)
        self.speed = np.array([math.cos(way), math.sin(way)]) * speed  # pixels a second
        hue = rng.uniform(0, 180)
        pixel = np.uint8([[[hue, rng.integers(170, 256), rng.integers(160, 256)]]])
        self.colour = [int(c) for c in cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0]]

    def move(self, seconds):
        self.place = self.place + self.speed * seconds
        for axis in (0, 1):
            low, high = self.size / 2, self.side - self.size / 2
            if not low <= self.place[axis] <= high:
                self.speed[axis] = -self.speed[axis]
                self.place[axis] = min(max(self.place[axis], low), high)

    def box(self):
        return shapes.box_of(self.kind, *self.place, self.size, self.angle)


def make_movers(rng, side, count):
    """Shapes that do not hide each other at the start; on their way they may cross."""
    movers = []
    while len(movers) < count:
        mover = Mover(rng, side, int(rng.integers(3)))
        if all(shapes.overlap(mover.box(), m.box()) < 0.02 for m in movers):
            movers.append(mover)
    return movers


def scene(rng, photo, side, frames, fps):
    """Yields the picture and its truth, frame by frame."""
    height, width = photo.shape[:2]
    cut = int(min(height, width) * 0.8)
    x0, y0 = rng.uniform(0, width - cut), rng.uniform(0, height - cut)
    x1, y1 = rng.uniform(0, width - cut), rng.uniform(0, height - cut)
    movers = make_movers(rng, side, int(rng.integers(2, 4)))
    for number in range(frames):
        part = number / max(1, frames - 1)
        x, y = x0 + (x1 - x0) * part, y0 + (y1 - y0) * part
        image = shapes.crop_scaled(photo, int(x), int(y), cut, side)
        truth = []
        for mover in movers:
            shapes.draw(image, mover.kind, *mover.place, mover.size, mover.angle, mover.colour)
            box = [round(float(v), 1) for v in mover.box()]
            truth.append({"class": shapes.NAMES[mover.kind], "box": box})
            mover.move(1 / fps)
        yield image, truth


def main():
    options = argparse.ArgumentParser()
    options.add_argument("video")
    options.add_argument("truth")
    options.add_argument("--seconds", type=int, default=100)
    options.add_argument("--fps", type=int, default=10)
    options.add_argument("--side", type=int, default=384)
    options.add_argument("--seed", type=int, default=7)
    args = options.parse_args()

    rng = np.random.default_rng(args.seed)
    photos = shapes.load_photos()
    frames = args.seconds * args.fps
    encode = subprocess.Popen(
        ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24",
         "-s", f"{args.side}x{args.side}", "-r", str(args.fps), "-i", "-", "-c:v", "libx264",
         "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", args.video],
        stdin=subprocess.PIPE)  # fmt: skip
    truths = []
    for number in range(SCENES):
        count = frames * (number + 1) // SCENES - frames * number // SCENES
        photo = photos[number % len(photos)][1]
        for image, truth in scene(rng, photo, args.side, count, args.fps):
            encode.stdin.write(image.tobytes())
            truths.append(truth)
    encode.stdin.close()
    if encode.wait() != 0:
        raise SystemExit("ffmpeg could not write the video")
    with open(args.truth, "w") as out:
        json.dump({"fps": args.fps, "side": args.side, "seed": args.seed, "frames": truths}, out)


main()
