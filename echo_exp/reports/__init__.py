"""What the runs of a study say: read back from the tracking store, tested, drawn, written down.

`records` reads, `statistics` tests, `answers` puts a study's records side by side, `figures` draws,
`pages` writes.
"""
