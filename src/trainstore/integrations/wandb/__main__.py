"""``python -m trainstore.integrations.wandb script.py``: see `trainstore.integrations.wandb.launching`."""

from __future__ import annotations

from trainstore.integrations.wandb.launching import main

if __name__ == "__main__":
    main()
