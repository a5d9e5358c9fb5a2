"""Trainers built on Trainer: TRL's for SFT, DPO and GRPO, PEFT's adapters, on tiny models and a tokenizer made here."""

import pytest
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, PrinterCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from fixtures.trainers import SEED, Crash, CrashAt, gpt2, tokens
from fixtures.twins import COMPARED, TOLERANCE, logged, recorded, worst_error
from trainstore.integrations.transformers import TrainStoreCallback

HUB_TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"
NESTED_SECRET = "nested-and-plainly-secret"
WORDS = [
    "[PAD]",
    "[EOS]",
    "[UNK]",
    *["the", "a", "cat", "dog", "sees", "likes", "runs", "and", "sleeps", "near", "big", "small"],
]
# What SFTTrainer puts into the logs beside Trainer's own names.
OF_TRL = ("mean_token_accuracy", "entropy", "num_tokens")


@pytest.fixture
def tokenizer():
    """A tokenizer of fifteen words."""
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", eos_token="[EOS]", unk_token="[UNK]", model_max_length=12
    )


def sentences(count):
    """Texts of three to seven words."""
    plain = WORDS[3:]
    return Dataset.from_list(
        [{"text": " ".join(plain[(3 * i + k * k) % len(plain)] for k in range(3 + i % 5))} for i in range(count)]
    )


@pytest.fixture
def make_sft_trainer(tmp_path, tokenizer):
    """An SFTTrainer of `gpt2` on `sentences`, eight steps; other keyword arguments are SFTConfig's."""

    def make(callbacks=None, peft_config=None, eval_dataset=None, **arguments):
        options = {
            "output_dir": str(tmp_path / "output"),
            "max_steps": 8,
            "per_device_train_batch_size": 2,
            "learning_rate": 1e-2,
            "save_strategy": "no",
            "logging_steps": 3,
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            "bf16": False,
            "seed": SEED,
            "max_length": 12,
            **arguments,
        }
        trainer = SFTTrainer(
            model=gpt2(),
            args=SFTConfig(**options),
            train_dataset=sentences(40),
            eval_dataset=eval_dataset,
            processing_class=tokenizer,
            callbacks=callbacks,
            peft_config=peft_config,
        )
        trainer.pop_callback(PrinterCallback)
        return trainer

    return make


@pytest.mark.parametrize("accumulation", [1, 4])
def test_sft_records_every_step_with_its_true_loss(store, make_sft_trainer, accumulation):
    """All steps are there, with the losses of a twin that logs each of them; TRL's metrics are there as logged."""
    callback = TrainStoreCallback(store)
    options = {"gradient_accumulation_steps": accumulation}
    trainer = make_sft_trainer([callback], **options)
    trainer.train()
    twin = make_sft_trainer(logging_steps=1, **options)
    twin.train()
    for key in COMPARED:
        assert worst_error(recorded(store, callback, key), logged(twin, key)) <= TOLERANCE
    assert len(recorded(store, callback, "loss")) == 8
    for key in (*OF_TRL, "train_runtime", "train_loss", "total_flos"):
        assert recorded(store, callback, key) == logged(trainer, key)
        assert recorded(store, callback, key), key
    assert recorded(store, callback, "loss_window") == logged(trainer, "loss")
    run = store.get_run(callback.run_uid)
    assert run.status == "finished"
    assert run.environment["loss_source"] == "training_step"
    assert {"trl", "transformers", "datasets"} <= set(run.environment)


def test_sft_evaluations_carry_trls_metrics(store, make_sft_trainer):
    """TRL adds its metrics to an evaluation's logs: they land in its step under eval_."""
    callback = TrainStoreCallback(store)
    trainer = make_sft_trainer([callback], eval_dataset=sentences(6), eval_strategy="steps", eval_steps=4)
    trainer.train()
    for key in ("eval_loss", *(f"eval_{name}" for name in OF_TRL)):
        assert recorded(store, callback, key) == logged(trainer, key)
        assert list(recorded(store, callback, key)) == [4, 8]


def test_sft_keeps_the_tokenizers_tokens_and_no_secret(store, make_sft_trainer, tmp_path):
    """Of SFTConfig eos_token and pad_token are kept; hub_token and a token for the model's download are not."""
    callback = TrainStoreCallback(store)
    trainer = make_sft_trainer(
        [callback],
        max_steps=1,
        hub_token=HUB_TOKEN,
        eos_token="[EOS]",
        pad_token="[PAD]",
        model_init_kwargs={"token": NESTED_SECRET, "revision": "main"},
    )
    trainer.train()
    hyperparams = store.get_run(callback.run_uid).hyperparams
    assert hyperparams["eos_token"] == "[EOS]"
    assert hyperparams["pad_token"] == "[PAD]"
    assert hyperparams["max_length"] == 12
    assert hyperparams["packing"] is False
    assert hyperparams["hub_token"] == "[redacted]"
    assert hyperparams["model_init_kwargs"] == {"token": "[redacted]", "revision": "main"}
    assert trainer.args.hub_token == HUB_TOKEN  # the live arguments stay as they were
    assert trainer.args.model_init_kwargs["token"] == NESTED_SECRET
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert NESTED_SECRET.encode() not in everything
    assert HUB_TOKEN.encode() not in everything


def test_sft_data_and_model_are_described(store, make_sft_trainer):
    """The data set's size, columns and fingerprint; the model's sizes."""
    callback = TrainStoreCallback(store)
    trainer = make_sft_trainer([callback], max_steps=1)
    trainer.train()
    run = store.get_run(callback.run_uid)
    assert run.data_hyperparams["train_class"] == "Dataset"
    assert run.data_hyperparams["train_size"] == 40
    assert "input_ids" in run.data_hyperparams["train_columns"]
    assert run.data_hyperparams["train_fingerprint"] == trainer.train_dataset._fingerprint
    assert run.model_hyperparams["model_class"] == "GPT2LMHeadModel"
    assert run.model_hyperparams["n_embd"] == 16


LORA = {
    "r": 3,
    "lora_alpha": 6,
    "target_modules": ["c_proj", "c_attn"],
    "task_type": "CAUSAL_LM",
    "fan_in_fan_out": True,
}


def check_adapter(run, model):
    """What is recorded of an adapter is what the model has."""
    adapter = run.model_hyperparams["peft"]["default"]
    assert (adapter["peft_type"], adapter["r"], adapter["lora_alpha"]) == ("LORA", 3, 6)
    assert adapter["target_modules"] == ["c_attn", "c_proj"]  # a set in PEFT, whose order is by chance
    trainable, total = model.get_nb_trainable_parameters()
    assert run.model_hyperparams["num_trainable_parameters"] == trainable
    assert run.model_hyperparams["num_parameters"] == total > 5 * trainable > 0
    assert run.model_hyperparams["model_class"] == "PeftModelForCausalLM"
    assert run.model_hyperparams["n_embd"] == 16  # the base model's configuration


def test_an_adapter_is_described_and_its_losses_are_true(store, make_trainer):
    """A LoRA model in a plain Trainer: its configuration, its numbers of parameters, and every step of the twin."""
    callback = TrainStoreCallback(store)
    options = {"max_steps": 6, "gradient_accumulation_steps": 2}
    trainer = make_trainer(model=adapted(), callbacks=[callback], **options)
    trainer.train()
    twin = make_trainer(model=adapted(), **options, logging_steps=1)
    twin.train()
    for key in COMPARED:
        assert worst_error(recorded(store, callback, key), logged(twin, key)) <= TOLERANCE
    run = store.get_run(callback.run_uid)
    check_adapter(run, trainer.model)
    assert run.environment["loss_source"] == "training_step"
    assert run.environment["peft"]


def adapted():
    """`gpt2` with a LoRA adapter."""
    return get_peft_model(gpt2(), LoraConfig(**LORA))


def test_an_adapters_checkpoint_goes_on_with_its_run(store, make_trainer):
    """Training that crashed resumes from a checkpoint of the adapter alone: one run, two attempts, no step missing."""
    options = {"max_steps": 8, "save_strategy": "steps", "save_steps": 4, "train_dataset": tokens(64)}
    first = TrainStoreCallback(store)
    crashing = make_trainer(model=adapted(), callbacks=[first, CrashAt(6)], **options)
    with pytest.raises(Crash):
        crashing.train()
    checkpoint = f"{crashing.args.output_dir}/checkpoint-4"
    second = TrainStoreCallback(store)
    resumed = make_trainer(model=adapted(), callbacks=[second], **options)
    resumed.train(resume_from_checkpoint=checkpoint)
    assert second.run_uid == first.run_uid
    assert store.list_runs()["attempts"].to_list() == [2]
    twin = make_trainer(model=adapted(), **{**options, "save_strategy": "no"}, logging_steps=1)
    twin.train()
    assert worst_error(recorded(store, second, "loss"), logged(twin, "loss")) <= TOLERANCE
    check_adapter(store.get_run(second.run_uid), resumed.model)


def test_sft_with_an_adapter(store, make_sft_trainer):
    """SFTTrainer makes the adapter itself, of ``peft_config``."""
    callback = TrainStoreCallback(store)
    trainer = make_sft_trainer([callback], peft_config=LoraConfig(**LORA), max_steps=4)
    trainer.train()
    check_adapter(store.get_run(callback.run_uid), trainer.model)
    assert len(recorded(store, callback, "loss")) == 4


PREFERENCES = Dataset.from_list([{"prompt": "the cat", "chosen": " sees a dog", "rejected": " a the near"}] * 16)
PROMPTS = Dataset.from_list([{"prompt": "the cat sees"}] * 16)


def different_words(completions, **_columns):
    """A reward: how many different words there are."""
    return [float(len(set(completion.split()))) for completion in completions]


def preference_trainer(tokenizer, callback, **arguments):
    """A DPOTrainer, which compares the model with a frozen twin."""
    return DPOTrainer(
        model=gpt2(),
        ref_model=gpt2(),
        args=DPOConfig(**arguments),
        train_dataset=PREFERENCES,
        processing_class=tokenizer,
        callbacks=[callback],
    )


def reward_trainer(tokenizer, callback, **arguments):
    """A GRPOTrainer, which writes four completions of each prompt."""
    return GRPOTrainer(
        model=gpt2(),
        reward_funcs=different_words,
        args=GRPOConfig(**arguments, num_generations=4, max_completion_length=6),
        train_dataset=PROMPTS,
        processing_class=tokenizer,
        callbacks=[callback],
    )


OTHER_TRAINERS = {
    "dpo": (preference_trainer, ("rewards/chosen", "rewards/margins", "logps/rejected"), {"beta": 0.1}),
    "grpo": (reward_trainer, ("reward", "completions/mean_length", "entropy"), {"num_generations": 4}),
}


@pytest.mark.parametrize(("make", "names", "hyperparams"), OTHER_TRAINERS.values(), ids=OTHER_TRAINERS)
def test_preferences_and_rewards_are_recorded_at_every_step(store, tokenizer, tmp_path, make, names, hyperparams):
    """DPO and GRPO: every step's own loss is the one that the Trainer logs for it, and TRL's names are kept."""
    callback = TrainStoreCallback(store)
    trainer = make(
        tokenizer,
        callback,
        output_dir=str(tmp_path / "output"),
        max_steps=4,
        per_device_train_batch_size=4,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        seed=SEED,
    )
    trainer.pop_callback(PrinterCallback)
    trainer.train()
    assert worst_error(recorded(store, callback, "loss"), logged(trainer, "loss")) <= TOLERANCE
    for name in names:
        assert list(recorded(store, callback, name)) == [1, 2, 3, 4]
        assert recorded(store, callback, name) == logged(trainer, name)
    run = store.get_run(callback.run_uid)
    assert (run.status, run.last_step) == ("finished", 4)
    assert run.environment["loss_source"] == "training_step"
    assert hyperparams.items() <= run.hyperparams.items()
