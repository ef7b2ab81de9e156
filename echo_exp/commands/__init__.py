"""The commands, one file each: compose the settings, check them, do the work, print the result."""
