"""Inside a trained network: measurements, figures and findings.

recording → traces → measurements (with probes) → drawing
                     inspect_network: all of it for one network
"""
