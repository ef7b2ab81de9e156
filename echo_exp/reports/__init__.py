"""What many runs say: read back from the tracking store, tested, drawn, written down.

For a study, `records` reads the runs, `answers` compares them, `study_figures` draws and
`study_page` writes; for a sweep, `jobs`, `effects`, `sweep_figures` and `sweep_page` do the same.
`comparison` compares any runs, `frames` returns them as pandas data frames, and `parquet` keeps
those of a study in a file. All of them use `statistics`, `estimates`, `style` and `rendering`.
"""

FROM = "from"
"""The setting that names a file with the runs of a study, in place of the store."""
