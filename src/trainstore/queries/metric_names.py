"""What the name of a metric says about it: which values are better, and whether it only measures the effort."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LESS_IS_BETTER = frozenset(
    {
        "loss",
        "error",
        "err",
        "perplexity",
        "ppl",
        "logloss",
        "mlogloss",
        "merror",
        "rmsle",
        "mse",
        "rmse",
        "mae",
        "mape",
        "nll",
        "bpc",
        "bpb",
        "wer",
        "cer",
        "ter",
        "fid",
        "kl",
        "divergence",
    }
)
_MORE_IS_BETTER = frozenset(
    {
        "acc",
        "accuracy",
        "f1",
        "precision",
        "recall",
        "auc",
        "aucpr",
        "auroc",
        "auprc",
        "bleu",
        "sacrebleu",
        "chrf",
        "rouge",
        "rouge1",
        "rouge2",
        "rougel",
        "rougelsum",
        "meteor",
        "reward",
        "rewards",
        "return",
        "score",
        "iou",
        "miou",
        "dice",
        "r2",
        "ndcg",
        "mrr",
        "mcc",
        "psnr",
        "ssim",
        "match",
    }
)
_WORD = re.compile(r"[a-z0-9]+")
_AVERAGED = re.compile(r"window|mean|avg|ema|epoch|step|top|\d+")  # such as Lightning's loss_epoch, or top_5
_EFFORT = re.compile(
    r"(?:^|[_/.])(?:runtime|time|per_second|flos|tokens|tokens_seen|tokens_window|train_steps|epoch)\Z"
    r"|^(?:system/|grad_norm/|grad_norm_(?:total|max|min|mean)\Z)"  # of SystemMetrics and GradLogger
)
_EVALUATION = re.compile(r"(?:^|[_/.-])(?:eval|val|valid|validation|test|dev)(?:$|[_/.-])")


def better_direction(metric: str) -> str | None:
    """ "min" or "max", which values of a metric are better, if its name ends in a word that says so."""
    words = _WORD.findall(metric.lower())
    while len(words) > 1 and words[-1] not in _MORE_IS_BETTER and _AVERAGED.fullmatch(words[-1]):
        words.pop()
    last = words[-1] if words else ""
    if last in _LESS_IS_BETTER or last.endswith(("loss", "error", "perplexity")):
        return "min"
    return "max" if last in _MORE_IS_BETTER else None


def is_result(metric: str) -> bool:
    """Whether the last word of its name says that runs are judged by it, as in ``val/loss``; not ``loss_window``."""
    words = _WORD.findall(metric.lower())
    return bool(words) and (words[-1] in _LESS_IS_BETTER or words[-1] in _MORE_IS_BETTER)


def is_effort(metric: str) -> bool:
    """Whether it differs between any two runs and judges none: how long something took, how much was processed, what
    the machine did, and the gradients of single layers.
    """
    return _EFFORT.search(metric) is not None


def results_first(metrics: Iterable[str]) -> list[str]:
    """Metrics in the order in which people look: results of evaluations, those of training, the rest, the effort."""
    return sorted(
        metrics,
        key=lambda name: (is_effort(name), better_direction(name) is None, not _EVALUATION.search(name), name),
    )
