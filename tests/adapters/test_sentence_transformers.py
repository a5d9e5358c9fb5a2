"""sentence-transformers: its trainer through the Hugging Face callback, on a model made here."""

import pytest
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
from transformers import PrinterCallback

from fixtures.sentences import tiny_encoder
from fixtures.twins import COMPARED, TOLERANCE, logged, recorded, worst_error
from trainstore.integrations.transformers import TrainStoreCallback

PAIRS = Dataset.from_dict(
    {
        "sentence1": ["the cat sees", "a dog runs", "big dog", "small cat"] * 8,
        "sentence2": ["a cat likes", "the dog sleeps", "big cat", "small dog"] * 8,
        "score": [1.0, 0.9, 0.2, 0.1] * 8,
    }
)


@pytest.fixture
def make_trainer(tmp_path):
    """A trainer of six steps that evaluates twice, with an evaluator; other arguments are the trainer's."""

    def make(callbacks=(), **arguments):
        model = tiny_encoder(tmp_path / "model")
        first = PAIRS[:4]
        options = {
            "output_dir": str(tmp_path / "output"),
            "max_steps": 6,
            "per_device_train_batch_size": 4,
            "logging_steps": 3,
            "eval_strategy": "steps",
            "eval_steps": 3,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            **arguments,
        }
        trainer = SentenceTransformerTrainer(
            model=model,
            args=SentenceTransformerTrainingArguments(**options),
            train_dataset=PAIRS,
            eval_dataset=PAIRS.select(range(4)),
            loss=CosineSimilarityLoss(model),
            evaluator=EmbeddingSimilarityEvaluator(first["sentence1"], first["sentence2"], first["score"], name="dev"),
            callbacks=list(callbacks),
        )
        trainer.pop_callback(PrinterCallback)
        return trainer

    return make


def test_every_step_has_its_true_loss_and_evaluations_their_scores(store, make_trainer):
    """The losses of a twin that logs each step; the evaluator's scores at the steps of the evaluations."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer([callback])
    trainer.train()
    twin = make_trainer(logging_steps=1)
    twin.train()
    for key in COMPARED:
        assert worst_error(recorded(store, callback, key), logged(twin, key)) <= TOLERANCE
    for key in ("eval_loss", "eval_dev_pearson_cosine", "eval_dev_spearman_cosine"):
        assert list(recorded(store, callback, key)) == [3, 6]
        assert recorded(store, callback, key) == logged(trainer, key)
    run = store.get_run(callback.run_uid)
    assert (run.status, run.last_step) == ("finished", 6)
    assert run.environment["sentence_transformers"]
    assert run.environment["loss_source"] == "training_step"
    assert "incomplete" not in run.environment
    assert run.model_hyperparams["model_class"] == "SentenceTransformer"
    assert run.model_hyperparams["num_parameters"] == sum(one.numel() for one in trainer.model.parameters())
    assert run.data_hyperparams["train_columns"] == ["sentence1", "sentence2", "score"]


def test_a_checkpoint_goes_on_with_its_run(store, make_trainer):
    """One run, two attempts, every step once."""
    options = {"save_strategy": "steps", "save_steps": 3}
    first = TrainStoreCallback(store)
    trainer = make_trainer([first], **options, max_steps=4)
    trainer.train()
    second = TrainStoreCallback(store)
    make_trainer([second], **options).train(resume_from_checkpoint=f"{trainer.args.output_dir}/checkpoint-3")
    assert second.run_uid == first.run_uid
    assert store.list_attempts(second.run_uid)["start_step"].tolist() == [-1, 3]
    assert list(recorded(store, second, "loss")) == list(range(1, 7))
