"""Keyframes: which pictures of a drive's cameras are kept for the areas that follow, and where."""
