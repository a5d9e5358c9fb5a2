"""SetFit: its trainer has a sentence-transformers' one inside, to which the Hugging Face callback belongs."""

import pytest
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression

from fixtures.sentences import tiny_encoder
from fixtures.twins import recorded
from trainstore.integrations.transformers import TrainStoreCallback

TEXTS = Dataset.from_dict(
    {
        "text": ["the cat sees", "a cat likes", "big cat", "a dog runs", "the dog sleeps", "small dog"] * 2,
        "label": [0, 0, 0, 1, 1, 1] * 2,
    }
)


@pytest.fixture
def make_trainer(tmp_path):
    """A trainer of six steps that evaluates twice; other arguments are the trainer's."""

    def make(callback, **arguments):
        options = {
            "output_dir": str(tmp_path / "output"),
            "batch_size": 4,
            "max_steps": 6,
            "logging_steps": 2,
            "eval_strategy": "steps",
            "eval_steps": 3,
            "save_strategy": "no",
            "report_to": "none",
            **arguments,
        }
        return Trainer(
            model=SetFitModel(model_body=tiny_encoder(tmp_path / "model"), model_head=LogisticRegression()),
            args=TrainingArguments(**options),
            train_dataset=TEXTS,
            eval_dataset=TEXTS,
            metric=lambda found, wanted: {"accuracy": sum(map(int.__eq__, map(int, found), wanted)) / len(wanted)},
            callbacks=[callback],
        )

    return make


def test_the_embeddings_training_is_recorded(store, make_trainer, caplog):
    """Every step of it with its own loss, next to SetFit's names; SetFit's arguments; nothing is missing."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(callback)
    trainer.train()
    run = store.get_run(callback.run_uid)
    assert (run.status, run.last_step) == ("finished", 6)
    assert list(recorded(store, callback, "loss")) == list(range(1, 7))
    assert set(recorded(store, callback, "embedding_loss")) == {1, 2, 4, 6}
    first = recorded(store, callback, "embedding_loss")[1]
    assert first == pytest.approx(recorded(store, callback, "loss")[1], rel=1e-4)
    assert list(recorded(store, callback, "eval_embedding_loss")) == [3, 6]
    assert run.hyperparams["batch_size"] == [4, 4]
    assert run.environment["setfit"]
    assert run.environment["train_batch_size"] == 4
    assert "incomplete" not in run.environment
    assert run.model_hyperparams["model_class"] == "SetFitModel"
    assert run.model_hyperparams["num_parameters"] == sum(one.numel() for one in trainer.model.model_body.parameters())
    assert "trainstore" not in [record.name for record in caplog.records]


def test_the_score_of_the_classifier_is_the_scripts_to_log(store, make_trainer):
    """``Trainer.evaluate`` sends no event: its result is logged by the run."""
    callback = TrainStoreCallback(store)
    trainer = make_trainer(callback)
    trainer.train()
    score = trainer.evaluate()
    with store.resume_run(callback.run_uid) as run:
        run.log({f"test_{name}": value for name, value in score.items()}, step=6)
    assert recorded(store, callback, "test_accuracy") == {6: score["accuracy"]}
    assert store.get_run(callback.run_uid).status == "finished"
