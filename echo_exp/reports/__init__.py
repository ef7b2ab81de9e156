"""What many runs say: read back from the tracking store, tested, drawn, written down.

Of a study `records` reads, `answers` puts side by side, `figures` draws and `pages` writes; of a
sweep `jobs`, `effects`, `sweep_figures` and `sweep_page` do. `beside` compares any runs, `frames`
gives them to pandas. `statistics`, `estimates`, `style` and `rendering` are what these share.
"""

FROM = "from"
"""The setting that names a file with the runs of a study, in place of the store."""
