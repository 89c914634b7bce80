"""Who drives in the world and how: car following, lane changes, the ego vehicle, what happens to it."""
