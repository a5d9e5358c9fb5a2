"""Lightning's trainers, under both names of the package, recorded by `TrainStoreLogger`."""

from pathlib import Path

import pytest
import torch

from fixtures.adapter_tests import LibraryTests, fails_at, nothing, only_run
from fixtures.lightning_models import BATCHES, Family
from fixtures.processes import DEADLINE, places_of
from trainstore import InvalidArgumentError, TrainStore

LIGHTNING = Family("lightning.pytorch", "trainstore.integrations.lightning")
OLDER_NAME = Family("pytorch_lightning", "trainstore.integrations.pytorch_lightning")


@pytest.fixture(params=[LIGHTNING, OLDER_NAME], ids=["lightning", "pytorch_lightning"])
def family(request):
    return request.param


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Lightning writes checkpoints into the current folder."""
    monkeypatch.chdir(tmp_path)


class TestLightning(LibraryTests):
    module, package, adapter = "trainstore.integrations.lightning", "lightning", "TrainStoreLogger"
    family = LIGHTNING

    def train(self, target, at_step, **options):
        logger = self.family.logger(target, **options)
        self.family.fit(self.family.trainer(logger, self.family.at_step(at_step)))


class TestPytorchLightning(TestLightning):
    module, package = "trainstore.integrations.pytorch_lightning", "pytorch_lightning"
    family = OLDER_NAME


#: The loss of each step of a training, however often it was resumed.
TRUTH = {step: 0.25**step for step in range(4 * BATCHES)}


def losses(store, run):
    """The loss of each step that is shown."""
    return dict(store.list_step_logs(run)[["step", "loss"]].dropna().itertuples(index=False))


def told(steps):
    """What `losses` must be after so many steps."""
    return pytest.approx({step: TRUTH[step] for step in range(steps)})


def trainer_with(family, logger, way, *callbacks, **options):
    """A trainer that has our logger as logger, as callback, or as both."""
    ours = [logger] if way != "logger" else []
    return family.trainer(logger if way != "callback" else False, *ours, *callbacks, **options)


WAYS = ["logger", "callback", "both"]


# --- What is recorded -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_it_makes_no_difference_how_it_is_given(way, family, local_store):
    """As logger, as callback or as both: the same steps, hyperparameters and facts."""
    logger = family.logger(local_store, name="a")
    family.fit(trainer_with(family, logger, way))
    run = local_store.get_run("a")
    assert losses(local_store, run) == told(BATCHES)
    assert run.hyperparams == {"lr": 0.25, "val_batches": 2, "trainer": {"max_epochs": 1}}
    assert (run.model_hyperparams["model_class"], run.model_hyperparams["num_parameters"]) == ("Model", 1)
    assert run.environment["world_size"] == 1
    assert local_store.list_step_logs(run)["val_loss"].dropna().to_dict() == {5: pytest.approx(TRUTH[6])}
    assert logger.run.uid == run.uid


def test_each_optimizer_step_is_a_row_with_its_epoch(store):
    """Two batches a step, two epochs: rows 0 to 5, evaluations at the last of their epoch, none of the sanity check."""
    logger = LIGHTNING.logger(store)
    LIGHTNING.fit(LIGHTNING.trainer(logger, max_epochs=2, accumulate_grad_batches=2))
    log = store.list_step_logs(only_run(store))
    assert log["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert log["epoch"].tolist() == [0, 0, 0, 1, 1, 1]
    assert log["val_loss"].notna().tolist() == [False, False, True, False, False, True]
    assert only_run(store).hyperparams["trainer"] == {"max_epochs": 2, "accumulate_grad_batches": 2}


def test_names_stay_as_lightning_gives_them(local_store):
    """on_step and on_epoch add their endings; what a validation logs for each batch is kept in the evaluated step."""

    class Model(LIGHTNING.model):
        def training_step(self, batch, index):
            loss = self.loss(batch)
            self.log("train/loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch, index):
            self.log("val/n", float(index), on_step=True, on_epoch=True, batch_size=1)

    LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(local_store)), Model(val_batches=3))
    run = only_run(local_store)
    log = local_store.list_step_logs(run, details=True)
    assert sorted(run.metrics) == ["train/loss_epoch", "train/loss_step", "val/n_epoch", "val/n_step"]
    assert log["step"].tolist() == list(range(BATCHES))
    last = log.iloc[-1]
    assert (last["val/n_step"], last["val/n_epoch"]) == (2, 1)
    assert last["details"]["earlier"]["val/n_step"] == [0, 1]


def test_log_every_n_steps_is_respected(local_store):
    """Lightning hands out every third step, and the means of the epoch."""
    LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(local_store), log_every_n_steps=3, limit_val_batches=0))
    assert local_store.list_step_logs(only_run(local_store))["step"].tolist() == [2, 5]


def test_hyperparameters_of_module_and_data_module_are_recorded_once(store):
    """Those of both, yours before theirs; the same again change nothing, others become the run's."""
    logger = LIGHTNING.logger(store, hyperparams={"lr": 7})
    LIGHTNING.fit(LIGHTNING.trainer(logger), datamodule=LIGHTNING.data(fold=3))
    run = only_run(store)
    assert (run.hyperparams["lr"], run.hyperparams["fold"]) == (7, 3)


def test_what_a_module_logs_as_hyperparameters_itself_is_added(local_store, caplog):
    """As a namespace, or a mapping; metrics beside them, as for TensorBoard's logger, are named once."""
    from argparse import Namespace

    class Model(LIGHTNING.model):
        def on_train_start(self):
            self.logger.log_hyperparams(Namespace(own=1))
            self.logger.log_hyperparams({"more": 2}, {"hp_metric": 0})

    LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(local_store)), Model())
    hyperparams = only_run(local_store).hyperparams
    assert (hyperparams["own"], hyperparams["more"], hyperparams["lr"]) == (1, 2, 0.25)
    assert caplog.text.count("hyperparameters alone") == 1


def test_manual_optimization_and_several_optimizers_count_batches(local_store):
    """Lightning's logs count batches there, not the steps of each optimizer."""

    class Model(LIGHTNING.model):
        automatic_optimization = False

        def training_step(self, batch, index):
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self.loss(batch))
                optimizer.step()
            self.log("loss", self.loss(batch))

        def configure_optimizers(self):
            return [super(Model, self).configure_optimizers() for _ in range(2)]

    LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(local_store)), Model())
    assert local_store.list_step_logs(only_run(local_store))["step"].tolist() == list(range(BATCHES))


# --- Checkpoints, resuming --------------------------------------------------------------------------------------------


def test_checkpoints_and_the_best_of_them_are_events(store, tmp_path):
    """With path, step and score; where they lie says project and run."""
    logger = LIGHTNING.logger(store, project="p", name="a")
    checkpoint = LIGHTNING.callbacks.ModelCheckpoint(monitor="val_loss", save_last=True)
    LIGHTNING.fit(LIGHTNING.trainer(logger, checkpoint, max_epochs=2))
    events = store.list_events("a", kind="checkpoint")
    folder = tmp_path / "p" / "a" / "checkpoints"
    assert [(event["step"], event["details"]["path"]) for _, event in events.iterrows()] == [
        (5, str(folder / "epoch=0-step=6.ckpt")),
        (5, str(folder / "last.ckpt")),
        (11, str(folder / "epoch=1-step=12.ckpt")),
        (11, str(folder / "last.ckpt")),
    ]
    assert events["details"][0]["score"] == pytest.approx(TRUTH[6])
    (best,) = store.list_events("a", kind="best_model")["details"]
    assert (best["path"], best["step"], best["monitor"]) == (str(folder / "epoch=1-step=12.ckpt"), 11, "val_loss")


def save(name):
    """A function of a module that saves a checkpoint by hand."""
    return lambda module: module.trainer.save_checkpoint(name)


#: Options of a trainer, arguments of ModelCheckpoint, and the last step that its checkpoint has seen.
KINDS = {
    "in an epoch": ({}, {"every_n_train_steps": 4}, 3),
    "at its end": ({}, {"every_n_epochs": 1}, 5),
    "before its validation": ({}, {"every_n_epochs": 1, "save_on_train_epoch_end": True}, 5),
    "accumulated": ({"accumulate_grad_batches": 3}, {"every_n_train_steps": 1, "save_top_k": -1}, 0),
    "validated in an epoch": ({"val_check_interval": 2}, {"monitor": "val_loss", "mode": "max"}, 1),
}


@pytest.mark.parametrize(
    ("kind", "way"), [*((kind, "both") for kind in KINDS), *(("in an epoch", way) for way in WAYS[:2])]
)
def test_a_resumed_training_goes_on_with_its_run_at_the_exact_step(kind, way, local_store, tmp_path):
    """It is the run's next attempt, by another logger; the steps shown are those of an unbroken training."""
    options, arguments, step = KINDS[kind]
    checkpoint = LIGHTNING.callbacks.ModelCheckpoint(dirpath=tmp_path / "kept", filename="{step}", **arguments)
    LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(local_store, name="a"), checkpoint, **options))
    path = next(path for path in (tmp_path / "kept").iterdir() if path.name == f"step={step + 1}.ckpt")

    again = trainer_with(LIGHTNING, LIGHTNING.logger(local_store), way, **options, max_epochs=3)
    LIGHTNING.fit(again, ckpt_path=path)
    run = only_run(local_store)
    attempts = local_store.list_attempts(run)
    assert attempts["start_step"].tolist() == [-1, step]
    assert attempts["status"].tolist() == ["finished", "finished"]
    steps = 3 * BATCHES // options.get("accumulate_grad_batches", 1)
    assert losses(local_store, run) == told(steps)


def test_the_last_checkpoint_is_found_again_by_the_name_of_the_run(family, store):
    """The same script twice, with ckpt_path="last": one run, whose folder is that of its name."""

    def script(epochs, at_step=nothing):
        logger = family.logger(store, name="a")
        checkpoint = family.callbacks.ModelCheckpoint(save_last=True)
        trainer = family.trainer(logger, checkpoint, family.at_step(at_step), max_epochs=epochs)
        family.fit(trainer, ckpt_path="last")

    with pytest.raises(Exception, match="NaN"):
        script(3, fails_at(8))
    assert only_run(store).status == "failed"
    script(3)
    run = only_run(store)
    assert (run.status, run.error) == ("finished", None)
    assert losses(store, run) == told(3 * BATCHES)
    assert store.list_attempts(run)["start_step"].tolist() == [-1, 5]


def test_a_checkpoint_made_after_the_training_goes_on_after_its_last_step(local_store):
    """trainer.save_checkpoint() when fit() has returned."""
    trainer = LIGHTNING.trainer(LIGHTNING.logger(local_store))
    LIGHTNING.fit(trainer)
    trainer.save_checkpoint("end.ckpt")
    LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(local_store), max_epochs=2), ckpt_path="end.ckpt")
    run = only_run(local_store)
    assert local_store.list_attempts(run)["start_step"].tolist() == [-1, 5]
    assert losses(local_store, run) == told(2 * BATCHES)


def test_resume_never_begins_a_child(store):
    """A new run, which names its parent and the checkpoint's step."""
    trainer = LIGHTNING.trainer(LIGHTNING.logger(store, name="a"))
    LIGHTNING.fit(trainer)
    trainer.save_checkpoint("end.ckpt")
    logger = LIGHTNING.logger(store, name="b", resume="never")
    LIGHTNING.fit(LIGHTNING.trainer(logger, max_epochs=2), ckpt_path="end.ckpt")
    child = store.get_run("b")
    assert (child.parent_uid, child.parent_step) == (store.get_run("a").uid, 5)
    assert list(losses(store, child)) == list(range(BATCHES, 2 * BATCHES))


@pytest.mark.parametrize("mark", [None, [7], [{"run_uid": "?"}, {"run_uid": "?", "lineage": [], "step": "x"}]])
def test_a_checkpoint_that_names_no_run_begins_one(mark, local_store):
    """It was made without us, or is damaged: a new run, from the checkpoint's step on."""
    trainer = LIGHTNING.trainer(LIGHTNING.logger(local_store, name="a"))
    LIGHTNING.fit(trainer)
    trainer.save_checkpoint("end.ckpt")
    checkpoint = torch.load("end.ckpt", weights_only=True)
    checkpoint |= {"trainstore": mark}
    torch.save(checkpoint, "other.ckpt")
    LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(local_store, name="b"), max_epochs=2), ckpt_path="other.ckpt")
    assert list(losses(local_store, "b")) == list(range(BATCHES, 2 * BATCHES))
    assert local_store.get_run("b").parent_uid is None


def test_a_run_that_another_database_has_goes_on_here_under_its_uid(local_store, new_database, caplog):
    """The checkpoint knows the run; that its steps are elsewhere is told."""
    trainer = LIGHTNING.trainer(LIGHTNING.logger(local_store, name="a"))
    LIGHTNING.fit(trainer)
    trainer.save_checkpoint("end.ckpt")
    with TrainStore(new_database("sqlite")) as other:
        LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(other), max_epochs=2), ckpt_path="end.ckpt")
        run = only_run(other)
        assert run.uid == only_run(local_store).uid
        assert list(losses(other, run)) == list(range(BATCHES, 2 * BATCHES))
    assert "which is not in" in caplog.text


def test_two_loggers_record_into_two_stores_and_each_goes_on_with_its_run(local_store, new_database):
    """A checkpoint carries both runs; each store gets its own again."""
    with TrainStore(new_database("sqlite")) as other:
        stores = [local_store, other]
        trainer = LIGHTNING.trainer([LIGHTNING.logger(store) for store in stores])
        LIGHTNING.fit(trainer)
        trainer.save_checkpoint("end.ckpt")
        uids = [only_run(store).uid for store in stores]
        again = LIGHTNING.trainer([LIGHTNING.logger(store) for store in stores], max_epochs=2)
        LIGHTNING.fit(again, ckpt_path="end.ckpt")
        assert [only_run(store).uid for store in stores] == uids
        assert uids[0] != uids[1]
        assert all(losses(store, only_run(store)) == told(2 * BATCHES) for store in stores)


# --- Several trainings with one logger --------------------------------------------------------------------------------


def test_folds_with_one_logger_are_children_of_the_first(store):
    """Steps that begin again are another run's; each has its own data's hyperparameters."""
    logger = LIGHTNING.logger(store, name="cv")
    for fold in range(3):
        LIGHTNING.fit(LIGHTNING.trainer(logger), datamodule=LIGHTNING.data(fold=fold))
    runs = [store.get_run(name) for name in ("cv", "cv-2", "cv-3")]
    assert [run.parent_uid for run in runs] == [None, runs[0].uid, runs[0].uid]
    assert [run.hyperparams["fold"] for run in runs] == [0, 1, 2]
    assert all(losses(store, run) == told(BATCHES) for run in runs)


def test_folds_into_one_open_run_meet_and_are_told_of(local_store, caplog):
    """The later fold's values are shown, the earlier ones are kept, and a warning says what to do."""
    with local_store.start_run("one") as run:
        logger = LIGHTNING.logger(run)
        for _ in range(2):
            LIGHTNING.fit(LIGHTNING.trainer(logger))
    assert losses(local_store, "one") == told(BATCHES)
    assert "pass a store to give each fit a run of its own" in caplog.text


def test_the_same_trainer_goes_on_with_its_run(store):
    """fit() again with more epochs: its steps go on, and so does the run."""
    trainer, model = LIGHTNING.trainer(LIGHTNING.logger(store, name="a")), LIGHTNING.model()
    LIGHTNING.fit(trainer, model)
    trainer.fit_loop.max_epochs = 2
    LIGHTNING.fit(trainer, model)
    assert losses(store, only_run(store)) == told(2 * BATCHES)
    assert store.list_attempts("a")["start_step"].tolist() == [-1, 5]


def test_a_logger_that_resumed_in_place_goes_on(local_store):
    """fit, then fit from its checkpoint with the same logger: an attempt of the run, not a child."""
    logger = LIGHTNING.logger(local_store, name="a")
    trainer = LIGHTNING.trainer(logger)
    LIGHTNING.fit(trainer)
    trainer.save_checkpoint("end.ckpt")
    LIGHTNING.fit(LIGHTNING.trainer(logger, max_epochs=2), ckpt_path="end.ckpt")
    assert losses(local_store, only_run(local_store)) == told(2 * BATCHES)


def test_an_evaluation_after_the_training_joins_its_run(family, store):
    """validate, test and predict: no other run, the status and the steps stay; metrics are the last step's."""
    model = family.model()
    trainer = family.trainer(family.logger(store, name="a"))
    family.fit(trainer, model)
    trainer.test(model, verbose=False)
    trainer.validate(model, verbose=False)
    trainer.predict(model)
    run = only_run(store)
    log = store.list_step_logs(run)
    assert log["step"].tolist() == list(range(BATCHES))
    assert log["test_loss"].dropna().to_dict() == {5: pytest.approx(TRUTH[6])}
    assert log["epoch"].tolist() == [0] * BATCHES
    assert (run.status, run.attempts) == ("finished", 1)


def test_a_test_that_fails_after_the_training_leaves_it_finished(local_store):
    """The exception is an event of the run."""

    class Model(LIGHTNING.model):
        def test_step(self, batch, index):
            raise RuntimeError("no such class")

    model, trainer = Model(), LIGHTNING.trainer(LIGHTNING.logger(local_store))
    LIGHTNING.fit(trainer, model)
    with pytest.raises(RuntimeError, match="no such class"):
        trainer.test(model, verbose=False)
    run = only_run(local_store)
    assert run.status == "finished"
    assert local_store.list_events(run, kind="exception")["details"][0]["message"] == "RuntimeError: no such class"


def test_a_checkpoint_that_is_tested_elsewhere_joins_its_run_at_its_step(store, tmp_path):
    """A script that only tests: the result belongs to the training whose weights they are."""
    checkpoint = LIGHTNING.callbacks.ModelCheckpoint(dirpath=tmp_path, filename="{step}", every_n_train_steps=3)
    LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(store, name="a"), checkpoint))
    trainer = LIGHTNING.trainer(LIGHTNING.logger(store, name="other"))
    trainer.test(LIGHTNING.model(), ckpt_path=tmp_path / "step=6.ckpt", verbose=False)
    log = store.list_step_logs(only_run(store))
    assert log["test_loss"].dropna().to_dict() == {5: pytest.approx(TRUTH[6])}


def test_a_validation_before_the_training_is_its_beginning(local_store):
    """One run; what was validated is at step 0."""
    model, trainer = LIGHTNING.model(), LIGHTNING.trainer(LIGHTNING.logger(local_store), limit_val_batches=1)
    trainer.validate(model, verbose=False)
    LIGHTNING.fit(trainer, model)
    run = only_run(local_store)
    assert local_store.list_step_logs(run)["val_loss"].iloc[0] == 1
    assert losses(local_store, run) == told(BATCHES)
    assert (run.status, run.hyperparams["lr"]) == ("finished", 0.25)


def test_a_test_alone_is_a_run(local_store):
    """Of the model as it is, finished when the test is."""
    LIGHTNING.trainer(LIGHTNING.logger(local_store)).test(LIGHTNING.model(), verbose=False)
    run = only_run(local_store)
    assert (run.status, run.metrics["test_loss"]) == ("finished", 1)


# --- Ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_before_the_first_step_is_a_failed_run(way, local_store):
    """With its text: the data cannot be loaded."""

    class Model(LIGHTNING.model):
        def on_fit_start(self):
            raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        LIGHTNING.fit(trainer_with(LIGHTNING, LIGHTNING.logger(local_store), way), Model())
    run = only_run(local_store)
    assert (run.status, run.error) == ("failed", "RuntimeError: no data")


def test_an_exception_leaves_its_traceback(local_store):
    """As an event at the last step, with the exception's type."""
    with pytest.raises(Exception, match="NaN"):
        LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(local_store), LIGHTNING.at_step(fails_at(3))))
    (event,) = local_store.list_events(only_run(local_store), kind="exception")["details"]
    assert event["type"] == "DivergedError"
    assert "in at_step" in event["traceback"]


def test_early_stopping_is_an_event(local_store):
    """With its reason; the run is finished."""
    stop = LIGHTNING.callbacks.EarlyStopping("val_loss", patience=0, mode="max")
    LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(local_store), stop, max_epochs=9))
    run = only_run(local_store)
    (event,) = local_store.list_events(run, kind="early_stop").to_dict("records")
    assert (event["step"], event["details"]["max_epochs"], run.status) == (11, 9, "finished")
    assert "val_loss did not improve" in event["details"]["reason"]


def test_a_dry_run_records_nothing(family, local_store):
    """Trainer(fast_dev_run=True), with the logger as logger and as callback."""
    logger = family.logger(local_store)
    family.fit(family.trainer(logger, logger, fast_dev_run=2))
    assert local_store.list_runs().empty


def test_the_search_for_a_learning_rate_records_nothing(local_store):
    """Tuner.lr_find before the training; the training after it is one run, from step 0."""
    model, logger = LIGHTNING.model(), LIGHTNING.logger(local_store)
    trainer = LIGHTNING.trainer(logger, logger)
    tuner = LIGHTNING.package.tuner.Tuner(trainer)
    tuner.lr_find(model, num_training=5)
    assert local_store.list_runs().empty
    LIGHTNING.fit(trainer, LIGHTNING.model())
    assert losses(local_store, only_run(local_store)) == told(BATCHES)


# --- self.logger.experiment -------------------------------------------------------------------------------------------


def test_experiment_is_the_run(local_store):
    """In a step it is there; in setup(), before the run begins, calls are kept for it."""

    class Model(LIGHTNING.model):
        def setup(self, stage):
            self.logger.experiment.set_tags(["early"])
            with pytest.raises(AttributeError, match="begins with the training"):
                self.logger.experiment.uid  # noqa: B018

        def on_train_end(self):
            self.logger.experiment.log_event("seen", 3, {"uid": self.logger.experiment.uid})

    LIGHTNING.fit(LIGHTNING.trainer(LIGHTNING.logger(local_store)), Model())
    run = only_run(local_store)
    assert "early" in run.tags
    assert local_store.list_events(run, kind="seen")["details"][0] == {"uid": run.uid}


def test_fabric_takes_the_logger_too(store):
    """Metrics, hyperparameters and the end, without a Trainer."""
    from lightning.fabric import Fabric

    logger = LIGHTNING.logger(store, name="a")
    fabric = Fabric(accelerator="cpu", loggers=logger)
    fabric.logger.log_hyperparams({"lr": 3})
    for step in range(4):
        fabric.log("loss", 0.25**step, step=step)
    fabric.logger.finalize("success")
    run = store.get_run("a")
    assert (run.status, run.hyperparams["lr"]) == ("finished", 3)
    assert losses(store, run) == told(4)


def test_resume_and_save_dir_are_checked_at_once(local_store):
    """The error names what is possible."""
    with pytest.raises(InvalidArgumentError, match="resume 'yes' is not one of 'auto', 'never'"):
        LIGHTNING.logger(local_store, resume="yes")
    with pytest.raises(InvalidArgumentError, match="save_dir 7 is not a path"):
        LIGHTNING.logger(local_store, save_dir=7)


def test_checkpoints_go_where_the_trainer_keeps_its_files(local_store, tmp_path):
    """save_dir, else the trainer's folder; names become names of folders."""
    checkpoint = LIGHTNING.callbacks.ModelCheckpoint()
    logger = LIGHTNING.logger(local_store, project="a/b", name="../c")
    LIGHTNING.fit(LIGHTNING.trainer(logger, checkpoint, default_root_dir=tmp_path / "out"))
    assert checkpoint.dirpath == str(tmp_path / "out" / "a_b" / "_c" / "checkpoints") == f"{logger.log_dir}/checkpoints"
    logger = LIGHTNING.logger(local_store, name="d", save_dir=tmp_path / "elsewhere")
    assert (logger.save_dir, logger.name, logger.version) == (str(tmp_path / "elsewhere"), "default", "d")


# --- Several processes ------------------------------------------------------------------------------------------------

#: One of two processes: a training with a checkpoint and a test, then another one, in which rank 1 fails.
RANK = """
    import os, sys

    tests, url, folder = sys.argv[1:]
    sys.path.insert(0, tests)

    from fixtures.lightning_models import Family

    family, rank = Family("lightning.pytorch", "trainstore.integrations.lightning"), int(os.environ["RANK"])

    def fails(step):
        if rank == 1 and step == 1:
            raise RuntimeError("rank 1 has no more memory")

    def trainer(name, *callbacks):
        logger = family.logger(url, name=name)
        options = {"strategy": "ddp", "devices": 2, "plugins": [], "default_root_dir": folder}
        return family.trainer(logger, *callbacks, **options), family.model()

    good, model = trainer("good", family.callbacks.ModelCheckpoint())
    family.fit(good, model)
    good.test(model, verbose=False)
    print("trained", flush=True)
    bad, model = trainer("bad", family.at_step(fails))
    family.fit(bad, model)
"""


def test_two_processes_record_one_run_and_the_failure_of_either(start_script, new_database, tmp_path):
    """gloo, on the CPU: rank 0 records every step once; rank 1 says what ended it."""
    url, tests = new_database("sqlite"), Path(__file__).parents[1]
    ranks = [
        start_script(RANK, tests, url, tmp_path / "files", libraries="trainer", env=place) for place in places_of(2)
    ]
    for rank in ranks:
        rank.wait_for("trained")
        assert rank.process.wait(DEADLINE) == 1
    with TrainStore(url) as store:
        assert len(store.list_runs()) == 2
        run = store.get_run("good")
        assert losses(store, run) == told(BATCHES // 2)
        assert (run.status, run.environment["world_size"]) == ("finished", 2)
        assert store.list_step_logs(run)["test_loss"].notna().sum() == 1
        assert len(store.list_events(run, kind="checkpoint")) == 1
        run = store.get_run("bad")
        assert (run.status, run.error) == ("failed", "RuntimeError: rank 1 has no more memory")
        told_by = [event["rank"] for event in store.list_events(run, kind="exception")["details"]]
        assert 1 in told_by
