"""What runs leave on the disk: what takes how much, and how it is removed."""
