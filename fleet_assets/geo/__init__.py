"""Places on Earth: projections, and later cells, road graphs, time and sun. Knows no table and no area."""
