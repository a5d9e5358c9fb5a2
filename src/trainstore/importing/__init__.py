"""Import from other trackers: their runs become runs of a store.

An importer is a writer whose journal is the foreign source: a reader (one module a tool) says what the source holds,
in order and with numbers (`foreign`), and `bringing` gives it to the same delivery that journals go through. What is
imported already is known by the writer's watermark, so an import may be killed, repeated or continued at any time.
"""
