"""A training as a class, which logs its steps and evaluates now and then."""

import os
import tempfile

import wandb


class Trainer:
    """Learns nothing, and says so."""

    def __init__(self, config):
        wandb.init(project="loop", name=config["name"], config=config, reinit=True)
        self.config = wandb.config
        self.step = 0
        self.best = float("inf")

    def train(self):
        for epoch in range(self.config.epochs):
            for _ in range(self.config["batches"]):
                self.step += 1
                wandb.log({"train/loss": 1 / self.step, "train/lr": self.config.optim["lr"]}, step=self.step)
            self.evaluate(epoch)
        self.save()
        wandb.finish()

    def evaluate(self, epoch):
        loss = 2 / (epoch + 1)
        if loss < self.best:
            self.best = loss
            wandb.run.summary["best_loss"] = loss
        table = wandb.Table(columns=["prompt", "completion"])
        table.add_data("once", f"upon {epoch}")
        wandb.log({"eval/loss": loss, "epoch": epoch + 1, "eval/samples": table}, step=self.step)

    def save(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.txt")
            with open(path, "w", encoding="utf-8") as file:
                file.write("weights")
            artifact = wandb.Artifact(f"model-{wandb.run.id}", type="model", metadata={"loss": self.best})
            artifact.add_file(path)
            wandb.log_artifact(artifact)


for seed in (1, 2):
    Trainer({"name": f"loop-{seed}", "seed": seed, "epochs": 2, "batches": 3, "optim": {"lr": 0.1}}).train()
