"""The commands, a file each: compose the settings, check them, call, and tell what came out."""
