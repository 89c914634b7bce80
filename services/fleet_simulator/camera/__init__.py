"""The simulated camera: road scenes drawn off screen with OpenGL, and what really is in each picture."""
