"""The defaults of transformers' TrainingArguments, so that a run can be shown by what somebody chose.

They are those of transformers 5.24, once its ``__post_init__`` has run; the library itself is not needed to look at a
run. A test compares them with the version that is installed. A field whose default is None is not listed: None is never
shown.
"""

from __future__ import annotations

from typing import Any

from trainstore.queries.frames import comparable

DEFAULTS: dict[str, Any] = {
    "per_device_train_batch_size": 8,
    "num_train_epochs": 3.0,
    "max_steps": -1,
    "learning_rate": 5e-05,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0,
    "optim": "adamw_torch_fused",
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-08,
    "gradient_accumulation_steps": 1,
    "average_tokens_across_devices": True,
    "max_grad_norm": 1.0,
    "label_smoothing_factor": 0.0,
    "bf16": False,
    "fp16": False,
    "bf16_full_eval": False,
    "fp16_full_eval": False,
    "activation_checkpointing": False,
    "gradient_checkpointing": False,
    "torch_compile": False,
    "use_liger_kernel": False,
    "use_cache": False,
    "auto_find_batch_size": False,
    "logging_strategy": "steps",
    "logging_steps": 500,
    "logging_first_step": False,
    "log_on_each_node": True,
    "logging_nan_inf_filter": True,
    "include_num_input_tokens_seen": "no",
    "log_level": "passive",
    "log_level_replica": "warning",
    "project": "huggingface",
    "eval_strategy": "no",
    "eval_delay": 0,
    "per_device_eval_batch_size": 8,
    "prediction_loss_only": False,
    "eval_on_start": False,
    "eval_do_concat_batches": True,
    "eval_use_gather_object": False,
    "include_for_metrics": [],
    "batch_eval_metrics": False,
    "save_only_model": False,
    "save_strategy": "steps",
    "save_steps": 500,
    "save_on_each_node": False,
    "enable_jit_checkpoint": False,
    "push_to_hub": False,
    "hub_strategy": "every_save",
    "hub_always_push": False,
    "load_best_model_at_end": False,
    "ignore_data_skip": False,
    "restore_callback_states_from_checkpoint": False,
    "full_determinism": False,
    "seed": 42,
    "use_cpu": False,
    "accelerator_config": {
        "split_batches": False,
        "dispatch_batches": None,
        "even_batches": True,
        "use_seedable_sampler": True,
        "non_blocking": False,
        "gradient_accumulation_kwargs": None,
        "use_configured_state": False,
    },
    "dataloader_drop_last": False,
    "dataloader_num_workers": 0,
    "dataloader_pin_memory": True,
    "dataloader_persistent_workers": False,
    "dataloader_in_order": True,
    "remove_unused_columns": True,
    "train_sampling_strategy": "random",
    "length_column_name": "length",
    "ddp_timeout": 1800,
    "debug": [],
    "skip_memory_metrics": True,
}
#: Follow from other arguments, or say where files and messages go: nobody compares runs by them.
INCIDENTAL = frozenset(
    {"disable_tqdm", "do_eval", "do_predict", "do_train", "local_rank", "logging_dir", "report_to", "run_name"}
)


def is_default(name: str, value: Any) -> bool:
    """Whether a recorded training argument has the value that it has if nobody sets it."""
    return name in INCIDENTAL or (name in DEFAULTS and comparable(DEFAULTS[name]) == comparable(value))
