"""Personal data outside of pictures: where trips begin and end, and what texts say about people and vehicles."""
