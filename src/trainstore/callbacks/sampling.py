"""Lets a model write text in the middle of its training, and leaves no trace in it.

Generating draws random numbers, changes the mode of modules, and may build caches. So it happens in a fork of the
random generators with a seed of its own, without gradients (not in inference mode: what a module caches there could not
be used for training), and every module gets back its own mode. The tokenizer's attributes belong to the data collator:
they are not touched, and padding is done here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from trainstore.configs import plain_config
from trainstore.errors import InvalidArgumentError
from trainstore.queries.names import did_you_mean

MAX_NEW_TOKENS = 40  # if neither the caller nor the model says how many


class Prompts:
    """Prompts as tokens, those that fit the model, and how the model is to go on.

    Attributes:
        kept: Their places in the list that was given.
        problems: What is wrong with the others, a sentence each.
    """

    def __init__(self, model: Any, tokenizer: Any, texts: Sequence[str], settings: Mapping[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._tokens = [list(tokenizer(text)["input_ids"]) for text in texts]
        config = getattr(model, "config", None)
        self._continues = not getattr(config, "is_encoder_decoder", False)
        self._settings = settings
        defaults = getattr(model, "generation_config", None) or GenerationConfig()
        positions = _positions(config)
        if settings.get("max_new_tokens") is None and settings.get("max_length") is None and not _length_of(defaults):
            self._settings = {**settings, "max_new_tokens": self._usual_length(positions)}
        self._ends = _ends(_given(settings, defaults, "eos_token_id"))
        known = (
            settings.get("pad_token_id"),
            getattr(tokenizer, "pad_token_id", None),
            defaults.pad_token_id,
            *self._ends,
        )
        # Any token will do that the model knows: it is masked, and what follows an end is cut off.
        self._padding = next((token for token in known if isinstance(token, int) and 0 <= token < _size(config)), 0)
        self.kept: list[int] = []
        self.problems: list[str] = []
        self._check(positions, defaults)

    def _usual_length(self, positions: int | None) -> int:
        """How many tokens to write if nobody said how many: as many as there is room for after the longest prompt."""
        if positions is None or not self._continues:
            return MAX_NEW_TOKENS
        room = [positions - len(tokens) for tokens in self._tokens if len(tokens) < positions]
        return min([MAX_NEW_TOKENS, *room])

    def _check(self, positions: int | None, defaults: Any) -> None:
        new = _given(self._settings, defaults, "max_new_tokens")
        for nr, tokens in enumerate(self._tokens):
            length = len(tokens) + (new or 0) if self._continues else len(tokens)
            if not tokens:
                self.problems.append(f"prompt {nr} has no tokens")
            elif positions is not None and length > positions:
                more = f" and {new} new ones" if new and self._continues else ""
                self.problems.append(
                    f"prompt {nr} has {len(tokens)} tokens{more}, and the model has {positions} positions: "
                    "shorten the prompt, or give a smaller max_new_tokens"
                )
            else:
                self.kept.append(nr)

    def complete(self, model: Any, batch_size: int, seed: int) -> dict[int, str]:
        """What the model writes after each prompt that was kept, by the prompt's place."""
        completions: dict[int, str] = {}
        with without_a_trace(model, seed) as device:
            for start in range(0, len(self.kept), batch_size):
                places = self.kept[start : start + batch_size]
                rows = [self._tokens[place] for place in places]
                width = max(map(len, rows))
                ids = torch.tensor([[self._padding] * (width - len(row)) + row for row in rows], device=device)
                mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
                written = model.generate(ids, attention_mask=mask, **{"pad_token_id": self._padding, **self._settings})
                written = getattr(written, "sequences", written)[:, width if self._continues else 0 :]
                for place, row in zip(places, written.tolist(), strict=True):
                    end = next((at for at, token in enumerate(row) if token in self._ends), len(row))
                    completions[place] = self._tokenizer.decode(row[:end], skip_special_tokens=True)
        return completions


def settings_of(generation_config: Any) -> dict[str, Any]:
    """What `generate` is to do, as keyword arguments: those that a configuration sets.

    Raises:
        InvalidArgumentError: It is neither a GenerationConfig nor a mapping of its fields, or not a valid one.
    """
    if generation_config is None:
        return {}
    if isinstance(generation_config, GenerationConfig):
        return {name: value for name, value in generation_config.to_diff_dict().items() if name in _fields()}
    if not isinstance(generation_config, Mapping):
        raise InvalidArgumentError(
            f"generation_config {generation_config!r} is neither a GenerationConfig nor a mapping of its fields, "
            'such as {"max_new_tokens": 40, "do_sample": True}'
        )
    plain: Any = plain_config(generation_config)
    settings: dict[str, Any] = dict(plain)
    unknown = [name for name in settings if name not in _fields()]
    if unknown:
        raise InvalidArgumentError(
            f"a GenerationConfig has no {unknown[0]!r}{did_you_mean(str(unknown[0]), _fields())}"
        )
    try:
        GenerationConfig(**settings).validate()
    except Exception as error:
        raise InvalidArgumentError(f"generation_config {settings!r} is not valid: {error}") from error
    return settings


def _fields() -> list[str]:
    return sorted(name for name in GenerationConfig().to_dict() if name != "transformers_version" and name[0] != "_")


@contextmanager
def without_a_trace(model: Any, seed: int) -> Iterator[Any]:
    """A block in which the model may generate; gives the device of its inputs."""
    modules = [(module, module.training) for module in model.modules()]
    devices = {parameter.device for parameter in model.parameters()}
    with forked_random(devices, seed), torch.no_grad():
        try:
            model.eval()
            yield next(model.parameters()).device if devices else torch.device("cpu")
        finally:
            for module, was_training in modules:
                module.training = was_training


@contextmanager
def forked_random(devices: set[Any], seed: int) -> Iterator[None]:
    """A block with random numbers of its own; the generators of Python, NumPy, torch and these devices come back."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    accelerators = [device for device in devices if device.type not in ("cpu", "meta")]
    states = [(device, _generator_state(device)) for device in accelerators]
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every other device, too
        for device in accelerators:
            _seed_generator(device, seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        for device, state in states:
            _set_generator_state(device, state)


def _generator_state(device: Any) -> Any:
    module = torch.get_device_module(device)
    return module.get_rng_state() if device.type == "mps" else module.get_rng_state(device)


def _set_generator_state(device: Any, state: Any) -> None:
    module = torch.get_device_module(device)
    if device.type == "mps":
        module.set_rng_state(state)
    else:
        module.set_rng_state(state, device)


def _seed_generator(device: Any, seed: int) -> None:
    module = torch.get_device_module(device)
    if device.type == "mps":
        module.manual_seed(seed)
    else:
        with module.device(device):
            module.manual_seed(seed)


def _given(settings: Mapping[str, Any], defaults: Any, name: str) -> Any:
    return settings[name] if settings.get(name) is not None else getattr(defaults, name, None)


def _length_of(config: Any) -> bool:
    """Whether a model's own configuration says how much to write; 20 in all is what nobody chose."""
    return config.max_new_tokens is not None or config.max_length not in (None, 20)


def _ends(tokens: Any) -> list[int]:
    """The tokens that end a text."""
    return [token for token in (tokens if isinstance(tokens, (list, tuple)) else [tokens]) if isinstance(token, int)]


def _size(config: Any) -> float:
    """How many tokens the model knows."""
    size = getattr(_text_config(config), "vocab_size", None)
    return size if isinstance(size, int) else float("inf")


def _positions(config: Any) -> int | None:
    """How many positions the model has; None if it does not count them."""
    found = getattr(_text_config(config), "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None


def _text_config(config: Any) -> Any:
    return config.get_text_config() if hasattr(config, "get_text_config") else config
