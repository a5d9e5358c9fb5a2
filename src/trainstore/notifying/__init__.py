"""Alerts and ends of runs are sent to people: by the process that trains, or by ``trainstore watch --notify``.

====================  =========================================================================================
`targets`             where to: ``TRAINSTORE_NOTIFY``, else a file that only its user can read; never shown whole
`messages`            what a message says, and of which events there is one
`channels`            Apprise: a target opened, a message sent; nothing that it logs of a URL is seen
`claims`              who sends: an event is claimed for a target in the table ``notification``, once and only once
`sender`              the thread of a process that trains
`watching`            what happened in a store since the last look
====================  =========================================================================================

An event reaches a target at most once. Whoever sends it has first committed the claim; after that nobody else does,
even if the sender was killed before the message left. What was claimed and not sent is told by ``trainstore doctor``.
"""
