#!/usr/bin/python3
# make_dataset: pictures of 96 × 96 with labels in darknet's format, from the photographs of the darknet
# package and a seed. The same seed and the same library versions give the same files.
#   make_dataset.py DIR [--pictures 4000] [--seed 2026]
# Writes DIR/{images,labels}/…, DIR/train.txt, DIR/held-out.txt (a tenth, never trained on), DIR/shapes.data.
# SPDX-License-Identifier: Apache-2.0
import argparse
import math
import os

import cv2
import numpy as np

import shapes

SIDE = 96


def make_picture(rng, photos):
    """One picture and its boxes [(kind, box)]; about one in ten has no shape at all."""
    image = shapes.random_crop(rng, photos[int(rng.integers(len(photos)))][1], SIDE)
    boxes = []
    for _ in range(int(rng.choice([0, 1, 2, 3, 4], p=[0.1, 0.25, 0.3, 0.2, 0.15]))):
        for _ in range(20):  # a place that is nearly free
            kind = int(rng.integers(3))
            size = rng.uniform(10, 42)
            angle = rng.uniform(-math.pi / 9, math.pi / 9)
            cx, cy = rng.uniform(size * 0.4, SIDE - size * 0.4, 2)
            x, y, w, h = shapes.box_of(kind, cx, cy, size, angle)
            x, w = max(0.0, x), min(SIDE, x + w) - max(0.0, x)
            y, h = max(0.0, y), min(SIDE, y + h) - max(0.0, y)
            if all(shapes.overlap([x, y, w, h], other) < 0.08 for _, other in boxes):
                colour = shapes.colour_against(rng, image, cx, cy, size)
                shapes.draw(image, kind, cx, cy, size, angle, colour)
                boxes.append((kind, [x, y, w, h]))
                break
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (3, 3), rng.uniform(0.3, 0.9))
    return image, boxes


def main():
    options = argparse.ArgumentParser()
    options.add_argument("dir")
    options.add_argument("--pictures", type=int, default=4000)
    options.add_argument("--seed", type=int, default=2026)
    args = options.parse_args()

    here = os.path.abspath(args.dir)
    os.makedirs(f"{here}/images", exist_ok=True)
    os.makedirs(f"{here}/labels", exist_ok=True)
    os.makedirs(f"{here}/backup", exist_ok=True)
    rng = np.random.default_rng(args.seed)
    photos = shapes.load_photos()
    lists = {"train": [], "held-out": []}
    for number in range(args.pictures):
        image, boxes = make_picture(rng, photos)
        name = f"{number:05d}"
        path = f"{here}/images/{name}.jpg"
        cv2.imwrite(path, image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 97))])
        with open(f"{here}/labels/{name}.txt", "w") as out:
            for kind, (x, y, w, h) in boxes:
                out.write(f"{kind} {(x + w / 2) / SIDE:.5f} {(y + h / 2) / SIDE:.5f}")
                out.write(f" {w / SIDE:.5f} {h / SIDE:.5f}\n")
        lists["held-out" if number % 10 == 9 else "train"].append(path)
    for name, paths in lists.items():
        with open(f"{here}/{name}.txt", "w") as out:
            out.write("".join(p + "\n" for p in paths))
    with open(f"{here}/shapes.names", "w") as out:
        out.write("".join(n + "\n" for n in shapes.NAMES))
    with open(f"{here}/shapes.data", "w") as out:
        out.write(f"classes = {len(shapes.NAMES)}\ntrain = {here}/train.txt\n")
        out.write(f"valid = {here}/held-out.txt\nnames = {here}/shapes.names\n")
        out.write(f"backup = {here}/backup\n")


main()
