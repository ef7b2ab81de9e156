"""What runs leave on the disk: how much space it uses, and how it is removed."""
