"""TextgenCallback: what the model writes, and a training that does not notice."""

import copy
import logging
import pickle

import pytest
import torch
from hydra.utils import instantiate
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import GenerationConfig, T5Config, T5ForConditionalGeneration

from fixtures.trainers import bert, build_trainer, course_of, gpt2, is_same_course, tokenizer, tokens
from trainstore.callbacks import TextgenCallback
from trainstore.errors import InvalidArgumentError
from trainstore.integrations.transformers import TrainStoreCallback

PROMPTS = ["w3 w4 w5", "w6"]
SAMPLED = {"do_sample": True, "max_new_tokens": 4, "temperature": 2.0}


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def train(store, make_trainer):
    """Trains with a TextgenCallback; gives its samples."""

    def run(*arguments, trainer=None, **options):
        recorder = TrainStoreCallback(store)
        textgen = TextgenCallback(*arguments, **{"tokenizer": tokenizer(), "generation_steps": 5, **options})
        made = make_trainer(callbacks=[recorder, textgen], **trainer or {})
        made.train()
        return store.list_samples(recorder.run_uid)

    return run


def test_each_prompt_is_a_sample_of_its_step(train):
    """The set has the callback's name, and the number is the prompt's place; the completion is without the prompt."""
    samples = train(PROMPTS, generation_config=SAMPLED, name="words")
    assert list(samples[["step", "set", "nr", "prompt"]].itertuples(index=False, name=None)) == [
        (5, "words", 0, "w3 w4 w5"), (5, "words", 1, "w6"), (10, "words", 0, "w3 w4 w5"), (10, "words", 1, "w6"),
    ]  # fmt: skip
    for completion in samples["completion"]:
        assert 1 <= len(completion.split()) <= 4
        assert completion.startswith("w")


def test_without_steps_it_generates_at_each_evaluation(train):
    """Once for each, also if several data sets are evaluated; without evaluations there is nothing."""
    data = {"a": tokens(4), "b": tokens(4)}
    samples = train(
        "w3", generation_steps=None, trainer={"eval_dataset": data, "eval_strategy": "steps", "eval_steps": 5}
    )
    assert samples["step"].tolist() == [5, 10]
    assert len(train("w3", generation_steps=None)) == 0


def test_the_same_seed_every_time(train, make_trainer):
    """A model that does not change writes the same again; another seed gives another text."""
    frozen = {"learning_rate": 0.0}
    first = train(PROMPTS, generation_config=SAMPLED, trainer=frozen)["completion"].tolist()
    assert first[:2] == first[2:]
    assert train(PROMPTS, generation_config=SAMPLED, trainer=frozen, seed=1)["completion"].tolist() != first


def test_a_batch_is_padded_without_the_tokenizers_help(train):
    """Prompts of different lengths give the same together as one by one; the tokenizer stays what it is."""
    greedy = {"do_sample": False, "max_new_tokens": 4}
    words = tokenizer()
    before = copy.deepcopy(words.init_kwargs), words.padding_side, words.pad_token, words.truncation_side
    together = train(PROMPTS, generation_config=greedy, tokenizer=words)
    alone = train(PROMPTS, generation_config=greedy, tokenizer=words, batch_size=1)
    assert together["completion"].tolist() == alone["completion"].tolist()
    assert (words.init_kwargs, words.padding_side, words.pad_token, words.truncation_side) == before


VARIANTS = {
    "plain": {},
    "accumulating": {"gradient_accumulation_steps": 2},
    "bf16": {"bf16": True},
    "gradient checkpointing": {"gradient_checkpointing": True},
    "evaluating": {"eval_strategy": "steps", "eval_steps": 3},
    "workers": {"dataloader_num_workers": 1},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_training_is_the_same_bit_for_bit(store, tmp_path, name):
    """With dropout, which draws random numbers, and with modules that were put into another mode."""

    def course(*callbacks):
        model = gpt2()
        model.transformer.drop.eval()
        options = {"eval_dataset": tokens(4)} if name == "evaluating" else {}
        trainer = build_trainer(
            tmp_path, model=model, callbacks=list(callbacks), logging_steps=1, max_steps=8, **VARIANTS[name], **options
        )
        return course_of(trainer)

    textgen = TextgenCallback(PROMPTS, generation_config=SAMPLED, generation_steps=1, tokenizer=tokenizer())
    recorder = TrainStoreCallback(store)
    assert is_same_course(course(recorder, textgen), course())
    assert len(store.list_samples(recorder.run_uid)) == 16


def test_every_generator_and_mode_comes_back(make_trainer):
    """Also if generating fails in the middle."""
    import random

    import numpy as np

    from trainstore.callbacks.sampling import without_a_trace

    model = gpt2().train()
    model.transformer.drop.eval()
    modes = [module.training for module in model.modules()]
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    drawn = []

    def fail():
        with without_a_trace(model, 3):
            assert not any(module.training for module in model.modules())
            assert not torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
            drawn.extend((random.random(), np.random.rand(), torch.rand(1).item()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [module.training for module in model.modules()] == modes
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[:2]
    assert torch.equal(torch.get_rng_state(), states[2])
    with without_a_trace(model, 3):
        assert drawn == [random.random(), np.random.rand(), torch.rand(1).item()]


def test_it_takes_the_trainers_tokenizer(store, make_trainer):
    """The processing class, or the tokenizer inside a processor."""

    class Processor:
        def __init__(self):
            self.tokenizer = tokenizer()

    for processing_class in (tokenizer(), Processor()):
        recorder = TrainStoreCallback(store)
        trainer = make_trainer(
            callbacks=[recorder, TextgenCallback("w3", generation_steps=5, generation_config={"max_new_tokens": 2})],
            data_collator=torch.utils.data.default_collate,
        )
        trainer.callback_handler.processing_class = processing_class
        trainer.train()
        assert store.list_samples(recorder.run_uid)["step"].tolist() == [5, 10]


def test_an_encoder_and_a_decoder(store, make_trainer):
    """What such a model writes does not begin with the prompt."""
    config = T5Config(
        vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0, eos_token_id=1,
        pad_token_id=0,
    )  # fmt: skip
    recorder = TrainStoreCallback(store)
    textgen = TextgenCallback(
        PROMPTS, generation_steps=2, tokenizer=tokenizer(), generation_config={"max_new_tokens": 3, "do_sample": True}
    )
    make_trainer(model=T5ForConditionalGeneration(config), callbacks=[recorder, textgen], max_steps=2).train()
    samples = store.list_samples(recorder.run_uid)
    assert samples["nr"].tolist() == [0, 1]
    assert all(len(text.split()) <= 3 for text in samples["completion"])


def test_tensorboard_gets_the_texts(train, tmp_path):
    """As they are, in a block of code, under the set's name and the prompt's place."""
    samples = train(PROMPTS, generation_config=SAMPLED, summary_writer=tmp_path / "board")
    board = EventAccumulator(str(tmp_path / "board")).Reload()
    tags = sorted(board.Tags()["tensors"])
    assert tags == ["text/0/text_summary", "text/1/text_summary"]
    shown = [event.tensor_proto.string_val[0].decode() for event in board.Tensors(tags[0])]
    first = samples[samples["nr"] == 0]["completion"].tolist()
    assert shown == [f"**prompt**\n\n    w3 w4 w5\n\n**completion**\n\n    {text}" for text in first]


# --- What cannot be --------------------------------------------------------------------------------------------------


def test_a_prompt_that_does_not_fit(train, caplog):
    """One warning names it with its length and what to do; the other prompts are completed."""
    samples = train(["w3", "w3 " * 10], generation_config=SAMPLED)
    assert samples["nr"].tolist() == [0, 0]
    (warning,) = [message for message in warnings(caplog) if "positions" in message]
    assert "prompt 1 has 10 tokens and 4 new ones, and the model has 12 positions" in warning


def test_an_end_that_the_model_does_not_know(train):
    """As in a configuration that was made smaller: prompts are padded with another token."""
    model = gpt2()
    model.generation_config.eos_token_id = 50_256
    assert len(train(PROMPTS, generation_config={"max_new_tokens": 2}, trainer={"model": model})) == 4


def test_a_length_that_nobody_chose_fits(train, caplog):
    """Without one, as much is written as the model has positions for."""
    samples = train(["w3 w4 w5", "w6"], generation_config={"do_sample": True, "min_new_tokens": 9})
    assert max(len(text.split()) for text in samples["completion"]) == 12 - 3  # special tokens are not shown
    assert not any("positions" in message for message in warnings(caplog))


def test_a_training_without_evaluations_is_told_at_its_beginning(store, make_trainer, caplog):
    """It would wait for them in vain."""
    make_trainer(
        callbacks=[TextgenCallback("w1", tokenizer=tokenizer()), TrainStoreCallback(store)], max_steps=1
    ).train()
    assert caplog.text.count("eval_strategy is 'no'") == 1


def test_no_tokenizer(train, caplog):
    """One warning when the training begins, which says what to give; the training goes on."""
    assert len(train(PROMPTS, tokenizer=None)) == 0
    (warning,) = [message for message in warnings(caplog) if "text" in message]
    assert "there is no tokenizer; give the trainer a processing_class, or this callback a tokenizer" in warning


def test_a_model_that_cannot_generate(train, caplog):
    """It is named."""
    assert len(train(PROMPTS, trainer={"model": bert(), "train_dataset": tokens(64, labels="class")})) == 0
    (warning,) = [message for message in warnings(caplog) if "text" in message]
    assert "a BertForSequenceClassification has no method generate" in warning


def test_a_generation_that_fails(train, caplog):
    """Is told once, and after five failures no longer tried; every step is trained."""

    class Broken(type(gpt2())):
        def generate(self, *arguments, **options):
            raise torch.OutOfMemoryError("no memory")

    model = Broken(gpt2().config)
    assert len(train(PROMPTS, generation_steps=1, trainer={"model": model})) == 0
    told = [message for message in warnings(caplog) if "on_step_end failed" in message]
    assert len(told) == 2
    assert "OutOfMemoryError" in told[0]
    assert model.training


def test_two_sets_of_one_name(store, make_trainer, caplog):
    """The second does nothing, and says so; with another name it would."""
    options = {"generation_steps": 10, "tokenizer": tokenizer(), "generation_config": SAMPLED}
    recorder = TrainStoreCallback(store)
    others = [
        TextgenCallback("w3", **options),
        TextgenCallback("w4", **options),
        TextgenCallback("w5", name="b", **options),
    ]
    make_trainer(callbacks=[recorder, *others]).train()
    assert store.list_samples(recorder.run_uid)[["set", "prompt"]].to_numpy().tolist() == [["b", "w5"], ["text", "w3"]]
    assert any("does the same" in message for message in warnings(caplog))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": []}, "prompts .* is neither a text nor a list"),
        ({"prompts": 5}, "prompts 5 is neither"),
        ({"prompts": ["a", ""]}, "prompt '' is not a text, or is empty"),
        ({"prompts": ["a", 7]}, "prompt 7 is not a text"),
        ({"generation_steps": 0}, "generation_steps 0 is not an int from 1 on"),
        ({"generation_steps": "5"}, "generation_steps '5' is not"),
        ({"summary_writer": {"max_new_tokens": 5}}, "is a generation configuration; pass it as generation_config="),
        ({"summary_writer": GenerationConfig()}, "pass it as generation_config="),
        ({"generation_config": "greedy"}, "'greedy' is neither a GenerationConfig nor a mapping"),
        ({"generation_config": {"max_new_token": 5}}, "has no 'max_new_token'; did you mean max_new_tokens"),
        ({"generation_config": {"max_new_tokens": -5}}, "is not valid: .*greater than 0"),
        ({"name": ""}, "name '' is not a text of 1 to 100"),
        ({"tokenizer": "gpt2"}, "tokenizer 'gpt2' is not a tokenizer"),
        ({"seed": -1}, "seed -1 is not an int from 0 on"),
        ({"batch_size": 0}, "batch_size 0 is not"),
    ],
)
def test_a_bad_argument_is_an_error_at_once(arguments, message):
    """With its value."""
    with pytest.raises(InvalidArgumentError, match=message):
        TextgenCallback(**{"prompts": "w3", **arguments})


def test_from_yaml():
    """Hydra builds it, a nested generation config too."""
    built = instantiate({
        "_target_": "trainstore.callbacks.TextgenCallback", "prompts": ["w3", "w4"], "generation_steps": 5,
        "generation_config": {"max_new_tokens": 3, "eos_token_id": [0, 1]},
    })  # fmt: skip
    assert built._texts == ["w3", "w4"]
    assert built._settings == {"max_new_tokens": 3, "eos_token_id": [0, 1]}
    other = instantiate({
        "_target_": "trainstore.callbacks.TextgenCallback", "prompts": "w3",
        "generation_config": {"_target_": "transformers.GenerationConfig", "max_new_tokens": 3},
    })  # fmt: skip
    assert other._settings == TextgenCallback("w3", generation_config=GenerationConfig(max_new_tokens=3))._settings


def test_a_copy_belongs_to_no_training(make_trainer):
    """Pickled in the middle of a training it has the same arguments, and nothing of the model."""
    textgen = TextgenCallback(PROMPTS, generation_steps=1, tokenizer=tokenizer(), generation_config=SAMPLED)
    trainer = make_trainer(callbacks=[textgen], max_steps=1)
    textgen.on_train_begin(trainer.args, trainer.state, trainer.control, model=trainer.model)
    assert textgen._prompts is not None
    for copied in (pickle.loads(pickle.dumps(textgen)), copy.deepcopy(textgen)):
        assert copied._prompts is None
        assert (copied._texts, copied._settings, copied._every) == (PROMPTS, SAMPLED, 1)
