"""``import wandb`` finds trainstore's module here: see ``trainstore.integrations.wandb.launching``."""

import sys

try:
    from trainstore.integrations.wandb.standing_in import stand_in
except ModuleNotFoundError as error:
    if error.name is None or not error.name.startswith("trainstore"):
        raise
    raise ImportError(
        f"wandb is replaced by trainstore's module here, and {sys.executable} has no trainstore: "
        f"install it there, or take {__path__[0].removesuffix('wandb')} out of PYTHONPATH"
    ) from None

stand_in()
