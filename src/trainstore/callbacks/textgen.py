"""`TextgenCallback`: what the model writes after fixed prompts, in the course of its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from transformers import GenerationConfig

from trainstore.callbacks.arguments import at_least_one
from trainstore.callbacks.base import Callback, only_if
from trainstore.callbacks.models import is_sharded, unwrapped
from trainstore.callbacks.sampling import Prompts, settings_of
from trainstore.callbacks.summary_writer import as_code
from trainstore.errors import InvalidArgumentError
from trainstore.queries.samples import sample_key
from trainstore.run import ActiveRun
from trainstore.values import index_of

MAX_NAME = 100  # characters


class TextgenCallback(Callback):
    """Records what the model writes after each prompt, as text samples of the step.

    The samples are read by `TrainStore.list_samples` and ``trainstore show --samples``. The training is the same as
    without them, bit for bit: random numbers come from a fork of the generators, with the same seed each time, so that
    samples compare over the training.

    Args:
        prompts: A text, or a list of texts.
        summary_writer: A ``SummaryWriter`` of TensorBoard that gets the samples as text, too, or its folder.
        generation_config: A ``GenerationConfig`` or a mapping of its fields, such as ``{"max_new_tokens": 40,
            "do_sample": True, "temperature": 0.8, "top_p": 0.9}``. What is left out is as the model's own
            configuration says; without a length, 40 tokens are generated.
        generation_steps: Every so many steps. None: at each evaluation.
        name: What the set of samples is called.
        tokenizer: None: the trainer's processing class.
        seed: Of the random numbers.
        batch_size: How many prompts are completed at once.
        run: The run to write into. None: the one that the `TrainStoreCallback` of the same trainer records.

    Raises:
        InvalidArgumentError: An argument that cannot be used.

    If there is no tokenizer, the model cannot generate or is sharded over processes (FSDP, DeepSpeed), or a prompt does
    not fit into the model, a warning says so when the training begins; what can be generated is.
    """

    writes: ClassVar[bool] = True

    def __init__(
        self,
        prompts: str | Sequence[str],
        summary_writer: Any = None,
        generation_config: Any = None,
        generation_steps: int | None = None,
        *,
        name: str = "text",
        tokenizer: Any = None,
        seed: int = 0,
        batch_size: int = 8,
        run: ActiveRun | None = None,
    ) -> None:
        if isinstance(summary_writer, (Mapping, GenerationConfig)):
            raise InvalidArgumentError(
                f"summary_writer {summary_writer!r} is a generation configuration; pass it as generation_config="
            )
        super().__init__(run=run, summary_writer=summary_writer)
        self._texts = _checked_prompts(prompts)
        self._settings = settings_of(generation_config)
        self._every = None if generation_steps is None else at_least_one("generation_steps", generation_steps)
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            raise InvalidArgumentError(f"name {name!r} is not a text of 1 to {MAX_NAME} characters")
        self._name = name
        if tokenizer is not None and not _is_tokenizer(tokenizer):
            raise InvalidArgumentError(
                f"tokenizer {tokenizer!r} is not a tokenizer: it cannot be called, or has no decode"
            )
        self._tokenizer = tokenizer
        if index_of(seed) is None or seed < 0:
            raise InvalidArgumentError(f"seed {seed!r} is not an int from 0 on")
        self._seed = seed
        self._batch_size = at_least_one("batch_size", batch_size)

    def _reset(self) -> None:
        super()._reset()
        self._prompts: Prompts | None = None  # None: nothing can be generated
        self._last_step = -1  # of the last samples

    def target(self) -> object | None:
        """Two sets of samples under one name would replace each other."""
        return self._name

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, processing_class: Any = None, **kwargs: Any
    ) -> None:
        """Prepare the prompts, and say what cannot be generated."""
        self._prompts, self._last_step = None, -1
        tokenizer = next(
            (one for one in (self._tokenizer, processing_class, kwargs.get("tokenizer")) if one is not None), None
        )
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # a processor has one beside others
        problem = self._problem(model, tokenizer)
        if problem is not None:
            self.warn_once(f"no text is generated: {problem}")
            return
        if self._every is None:
            self.warn_without_evaluations(args, "no text is generated; give generation_steps")
        prompts = Prompts(unwrapped(model), tokenizer, self._texts, self._settings)
        if prompts.problems:
            self.warn_once("; ".join(prompts.problems))
        self._prompts = prompts if prompts.kept else None

    def _problem(self, model: Any, tokenizer: Any) -> str | None:
        inner = unwrapped(model)
        can_generate = getattr(inner, "can_generate", lambda: True)
        if not callable(getattr(inner, "generate", None)) or not can_generate():
            return f"a {type(inner).__name__} has no method generate"
        if is_sharded(model):
            return "the model is sharded over several processes"
        if tokenizer is None:
            return "there is no tokenizer; give the trainer a processing_class, or this callback a tokenizer"
        if not _is_tokenizer(tokenizer):
            return f"a {type(tokenizer).__name__} is not a tokenizer; give this callback one"
        return None

    @only_if(lambda self, state: self._every is not None and not state.global_step % self._every)
    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Generate every so many steps, if they were given."""
        self._record(state.global_step, model)

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Generate at each evaluation otherwise; once for several evaluations of one step."""
        if self._every is None:
            self._record(state.global_step, model)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """What is evaluated from now on belongs to no training."""
        self._prompts = None
        self.close_summary()

    def _record(self, step: int, model: Any) -> None:
        run = self.run
        if self._prompts is None or step == self._last_step or (run is None and self.summary_writer is None):
            return
        self._last_step = step
        completions = self._prompts.complete(unwrapped(model), self._batch_size, self._seed)
        samples = {nr: {"prompt": self._texts[nr], "completion": text} for nr, text in completions.items()}
        if run is not None:
            run.log(step=step, details={sample_key(self._name, nr): sample for nr, sample in samples.items()})
        self.to_summary(partial(self._add_texts, samples, step))

    def _add_texts(self, samples: dict[int, dict[str, str]], step: int, writer: Any) -> None:
        for nr, sample in samples.items():
            writer.add_text(f"{self._name}/{nr}", _as_markdown(sample), step)


def _checked_prompts(prompts: Any) -> list[str]:
    given = [prompts] if isinstance(prompts, str) else prompts
    if isinstance(given, (Sequence, set, frozenset)) and not isinstance(given, (bytes, Mapping)):
        texts = list(given)
        for text in texts:
            if not isinstance(text, str) or not text:
                raise InvalidArgumentError(f"prompt {text!r} is not a text, or is empty")
        if texts:
            return texts
    raise InvalidArgumentError(f"prompts {prompts!r} is neither a text nor a list of texts")


def _is_tokenizer(one: Any) -> bool:
    return callable(one) and callable(getattr(one, "decode", None))


def _as_markdown(sample: Mapping[str, str]) -> str:
    return "\n\n".join(f"**{name}**\n\n{as_code(text)}" for name, text in sample.items())
