"""Scripts that make parts of the documentation: pictures of the UI, and the tables' reference."""
