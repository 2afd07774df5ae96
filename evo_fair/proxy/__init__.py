"""Frozen evaluation of populations: what each genome's network predicts, without training it."""

from evo_fair.proxy.evaluator import ProxyEvaluator, ProxySource, calibration_samples
from evo_fair.proxy.proxy import Proxy, predict_labels, predict_logits, torch_device

__all__ = [
    "Proxy",
    "ProxyEvaluator",
    "ProxySource",
    "calibration_samples",
    "predict_labels",
    "predict_logits",
    "torch_device",
]
