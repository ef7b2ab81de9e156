"""What people see in MLflow's UI: views, descriptions, and the server of this machine."""
