"""Looking inside a trained network: measurements, figures, and the command `echo-exp-inspect`.

walks, recording → traces → measurements (with probes) → drawing
                            inspection: all of it for one network; app: the command
"""
