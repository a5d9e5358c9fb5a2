"""The way of a record: journal → writer thread → one transaction a flush; and recovery of what a process left.

``records`` says what a record is, ``journal`` keeps records on disk, ``writer`` is the thread that delivers them,
``flush`` the transaction, ``attempts``, ``summary``, ``merging`` and ``edits`` the rules that it applies,
``statements`` all SQL that any of them sends, ``recovery`` the delivery of journals whose process is gone.
"""
