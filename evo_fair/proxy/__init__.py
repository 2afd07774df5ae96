"""Frozen evaluation of populations: what each genome's network predicts, without training it."""

from evo_fair.proxy.evaluator import ProxyEvaluator, ProxySource, calibration_samples
from evo_fair.proxy.proxy import Proxy, check_precision, predict_labels, predict_logits, torch_device

__all__ = [
    "PROXY_CODE",
    "Proxy",
    "ProxyEvaluator",
    "ProxySource",
    "calibration_samples",
    "check_precision",
    "predict_labels",
    "predict_logits",
    "torch_device",
]

PROXY_CODE = 2
"""To be raised with every change that gives other predictions: earlier stored ones are then made again."""
