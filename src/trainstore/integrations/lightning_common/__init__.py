"""What ``lightning.pytorch`` and ``pytorch_lightning`` have in common, which is all but the classes to derive from.

Nothing here imports either: ``lightning.py`` and ``pytorch_lightning.py`` each derive `TrainerEvents` from their
library's ``Logger`` and ``Callback``, as a trainer takes only those of its own library.
"""
