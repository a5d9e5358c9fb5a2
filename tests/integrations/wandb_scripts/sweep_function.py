"""The function that a sweep's agent calls, called for each trial."""

import wandb

defaults = {"lr": 0.1, "layers": 2, "epochs": 3}


def train(trial):
    with wandb.init(config=defaults, project="sweep", name=f"trial-{trial['lr']}") as run:
        run.config.update(trial, allow_val_change=True)
        config = wandb.config
        loss = 1.0
        for epoch in range(config.epochs):
            loss -= config.lr / config.layers
            wandb.log({"epoch": epoch, "loss": loss, "val_acc": 1 - loss})


for lr in (0.1, 0.2):
    train({"lr": lr})
