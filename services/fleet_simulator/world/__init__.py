"""The world that drives take place in: roads, routes, weather."""
