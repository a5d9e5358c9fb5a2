"""`TrainStoreCallback` for Keras 3, with any of its backends: a fit is a run, an optimizer step a step."""

from trainstore.integrations.libraries import needs

with needs("keras", extra="keras"):
    import keras  # noqa: F401 - its absence is told here

from trainstore.integrations.keras.callback import TrainStoreCallback

__all__ = ["TrainStoreCallback"]
