"""What people see in MLflow's UI: views, descriptions, and a server on this machine."""
