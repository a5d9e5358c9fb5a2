"""The kind of script that a tracker's quick start shows."""

import math

import wandb

run = wandb.init(
    project="quick-start",
    name="quick",
    config={"learning_rate": 0.02, "architecture": "CNN", "epochs": 5},
    tags=["baseline", "cnn"],
    group="first",
    job_type="train",
    notes="the quick start",
)
offset = 1 / 50
for epoch in range(2, run.config.epochs):
    acc = 1 - 2**-epoch - offset / epoch
    loss = 2**-epoch + offset / epoch
    run.log({"acc": acc, "loss": loss, "big": {"value": math.pow(2, 50) + epoch}})
wandb.log({"acc": 1.0})
run.finish()
