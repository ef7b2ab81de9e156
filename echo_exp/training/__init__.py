"""From a task and a network to an outcome; nothing here knows of a configuration."""
