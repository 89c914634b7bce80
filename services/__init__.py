"""Programs outside the graph, each in a folder of its own."""
