"""Metrics whose steps are other metrics, by define_metric."""

import wandb

with wandb.init(project="axes", name="axes") as run:
    wandb.define_metric("train/global_step")
    wandb.define_metric("train/*", step_metric="train/global_step")
    wandb.define_metric("val/*", step_metric="train/global_step", summary="min")
    wandb.define_metric("per_epoch", step_metric="epoch")
    for step in range(0, 40, 10):
        run.log({"train/loss": 1 / (step + 1), "train/global_step": step})
        if step % 20 == 0:
            run.log({"val/loss": 2 / (step + 1), "train/global_step": step})
            run.log({"per_epoch": step, "epoch": step // 20})
