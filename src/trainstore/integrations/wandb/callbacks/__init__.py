"""The callbacks of ``wandb.integration``: one module for each library, which only its own import loads.

They record under the names that W&B's have, so that a script's own curves fit. A new script has more from the callbacks
of ``trainstore.integrations`` itself.
"""
