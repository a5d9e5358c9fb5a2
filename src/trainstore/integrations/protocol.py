"""What the trainers of each library call the parts of a training: everything that is recorded beyond their events.

An event says that a step ended, but not with which loss, nor where a checkpoint was written. The trainer's own methods
know, so they are watched during a training. `Protocol` lists them, one table for each library. A trainer belongs to the
first table that fits it; one that fits none is recorded by its events alone.

To record another library's trainer, add its table to `PROTOCOLS`. Nothing else needs to know its names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Protocol:
    """The names inside the trainers of one library. A name with dots is a path from the trainer; None: there is none.

    Attributes:
        source: What is recorded as the runs' source.
        training: The method that is a whole training: when it returns or raises, the training has ended.
        micro_batch: ``(model, inputs) -> loss``: forward and backward pass of one micro-batch. The losses of a step's
            micro-batches add up to the step's loss.
        step: ``(…) -> (loss, grad_norm, …)``, or the loss alone: a whole optimizer step, if no method returns the loss
            of a micro-batch. StopIteration means that the epoch's batches are used up.
        inputs: ``(inputs, …)``: called with the inputs of each micro-batch, if there is only a `step`.
        grad_norm: ``(…) -> grad_norm``: clips the gradients, before each optimizer step.
        optimizer: The optimizer, read before each `step`. (Other trainers pass it to ``on_pre_optimizer_step``.)
        epoch: The method that is one epoch.
        evaluation: The method that is one evaluation.
        checkpoint: ``(…) -> folder``: writes a checkpoint.
        checkpoint_name: The folder of a checkpoint inside the output folder, if no method returns it.
        output_dir: ``(trial) -> folder``: where checkpoints go, if not into the arguments' ``output_dir``.
        keeps_state: Whether checkpoints keep ``state.stateful_callbacks``. If not, a file beside them names the run.
        trial: The trial of a hyperparameter search that is under way.
        batch_size: The batch size per process that is used, which may differ from the arguments'.
        preemption: A path from one of the callbacks: called when the process was told to stop, saves a checkpoint.
        own_log: A name in each log of a mean loss that comes from the trainer itself, and in no other log of a loss.
        hyperparams: A mapping that is recorded as the run's hyperparameters instead of the arguments.
        metrics: A mapping of further metrics of a step, read when the step ends. A name that the callback uses itself
            keeps the callback's value.
        failure: A text that says why the training ended badly without an exception; None if it did not. Read at
            ``on_train_end``: the run is then failed.
        ending_event: An event that says why the training ended: its kind, its step, its details. None: there is none.
        counts_samples: Whether the examples of a step without ``input_ids`` are counted, by the first tensor of each
            micro-batch.
        window: The sum and the number of the losses since the last log, which a resumed training goes on with.
        logged_as: How metrics are called here that the trainer logs under a name with another meaning.
        lacks: Fields of the events that these trainers do not have; that they are missing is not reported.
    """

    source: str
    training: str
    micro_batch: str | None = None
    step: str | None = None
    inputs: str | None = None
    grad_norm: str | None = None
    optimizer: str | None = None
    epoch: str | None = None
    evaluation: str | None = None
    checkpoint: str | None = None
    checkpoint_name: str = "checkpoint-{step}"
    output_dir: str | None = None
    keeps_state: bool = False
    trial: str | None = None
    batch_size: str | None = None
    preemption: str | None = None
    hyperparams: str | None = None
    metrics: str | None = None
    failure: str | None = None
    ending_event: str | None = None
    counts_samples: bool = False
    window: str | None = None
    own_log: str = "learning_rate"
    logged_as: Mapping[str, str] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset()

    @property
    def loss(self) -> str:
        """The method that returns the loss."""
        return self.micro_batch or self.step or ""


TRANSFORMERS = Protocol(
    source="transformers",
    training="train",
    micro_batch="training_step",
    grad_norm="accelerator.clip_grad_norm_",
    epoch="_run_epoch",
    evaluation="_evaluate",
    output_dir="_get_output_dir",
    keeps_state=True,
    trial="_trial",
    batch_size="_train_batch_size",
    preemption="jit_manager.execute_jit_checkpoint",  # of enable_jit_checkpoint
    own_log="learning_rate",
)
"""``transformers.Trainer``, its subclasses (TRL's, for example), and others with a ``training_step``."""

FORGATHER = Protocol(
    source="forgather",
    training="_train_loop",
    step="_train_step",
    inputs="_forward_backward_step",
    optimizer="optimizer",
    evaluation="_eval_loop",
    checkpoint="checkpoint_manager.save_checkpoint",
    checkpoint_name="checkpoints/checkpoint-{step}",
    own_log="epoch",
    # It logs after the scheduler's step, means and sums since its last log, and a number of steps named "step".
    logged_as={
        "grad_norm": "grad_norm_window",
        "tokens": "tokens_window",
        "learning_rate": "next_learning_rate",
        "step": "train_steps",
    },
    lacks=frozenset({"args.world_size", "args.process_index", "state.stateful_callbacks"}),
)
"""The trainers of Forgather."""

TRAINSTORE = Protocol(
    source="trainstore",
    training="run",
    micro_batch="micro_batch",
    grad_norm="clip_grad_norm",
    epoch="run_epoch",
    evaluation="run_evaluation",
    checkpoint="save",
    keeps_state=True,
    batch_size="state.train_batch_size",
    hyperparams="hyperparams",
    metrics="step_metrics",
    failure="failure",
    ending_event="ending_event",
    counts_samples=True,
    window="losses.window",
)
"""The loop of `trainstore.training`, which is what the callbacks of both its trainers see."""

PROTOCOLS = (TRANSFORMERS, FORGATHER, TRAINSTORE)


def protocol_of(trainer: object) -> Protocol:
    """The table that fits a trainer; that of transformers if none does, or if there is no trainer."""
    for protocol in PROTOCOLS:
        if callable(getattr(type(trainer), protocol.loss, None)):
            return protocol
    return TRANSFORMERS


def loop_of(trainer: Any) -> Any:
    """What sends a trainer's events: its ``loop``, if that has the callbacks, else the trainer itself."""
    loop = attribute_of(trainer, "loop")
    return trainer if attribute_of(loop, "callback_handler") is None else loop


def callbacks_of(trainer: object) -> list[Any]:
    """A trainer's callbacks: those of its ``callback_handler``, or its own list; empty if it is not a trainer.

    A trainer with a list of its own is recognised by the method that returns its losses: a `CallbackHandler` has such a
    list, too.
    """
    try:
        fields = vars(trainer)
        handler = fields.get("callback_handler")
        if handler is not None:
            found = handler.callbacks
        elif any(callable(getattr(type(trainer), protocol.loss, None)) for protocol in PROTOCOLS):
            found = fields.get("callbacks")
        else:
            return []
    except Exception:  # noqa: BLE001 - it may be any object from any frame further up
        return []
    return found if isinstance(found, list) else []


def attribute_of(owner: Any, path: str | None) -> Any | None:
    """What a path leads to in any library's object; None if there is nothing, or if reading it raises."""
    if path is None:
        return None
    try:
        for name in path.split("."):
            owner = getattr(owner, name, None)
    except Exception:  # noqa: BLE001
        return None
    return owner
