"""Perception: pretrained detectors and features, tiles, tracks, and how boxes and masks are scored; no area's rule."""
