"""Shapes of everything in a road scene, built from numbers; nothing here knows OpenGL."""
