"""How much disk space runs use, and how to free it."""
