"""The way of a record: journal → delivery thread → one transaction a flush; and recovery of what a process left.

``records`` says what a record is, ``journal`` keeps records on disk, ``recorder`` is one run's way into it,
``delivery_thread`` delivers what is waiting, ``flush`` is the transaction, ``attempts``, ``summary``, ``merging`` and
``edits`` are the rules that it applies, ``statements`` has their SQL, ``recovery`` delivers the journals of processes
that are gone.
"""
