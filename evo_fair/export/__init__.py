"""Networks that leave the house: ONNX files, checked against torch, with a card each."""

from evo_fair.export.card import network_card, write_network
from evo_fair.export.export import Parity, check_parity, export_onnx, onnx_logits
from evo_fair.export.rows import raw_rows

__all__ = ["Parity", "check_parity", "export_onnx", "network_card", "onnx_logits", "raw_rows", "write_network"]
